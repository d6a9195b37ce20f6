package app

import (
	"context"
	"errors"
	"testing"
)

func TestVisitsStayWithinTheirGeneration(t *testing.T) {
	v := &visits{}
	never := func(context.Context) error { t.Error("visited"); return nil }
	if err := v.visit(t.Context(), never); !errors.Is(err, errNoPartitions) {
		t.Errorf("before the first generation: %v", err)
	}
	v.end() // goka cleans up a generation that it could not set up, too
	for range 2 {
		v.allow()
		began, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			ended <- v.visit(t.Context(), func(ctx context.Context) error {
				close(began)
				<-ctx.Done()
				return ctx.Err()
			})
		}()
		<-began
		v.end()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the visit ended with %v", err)
			}
		case <-t.Context().Done():
			t.Fatal("the generation did not end its visit")
		}
		if err := v.visit(t.Context(), never); !errors.Is(err, errNoPartitions) {
			t.Errorf("after the generation: %v", err)
		}
	}
}
