// Command pgprograms prints the folder of the server programs of a release of PostgreSQL, which it fetches once.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"

	"github.com/brimline/brimline/internal/embedded"
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(out io.Writer) error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: pgprograms MAJOR")
	}
	major, err := strconv.Atoi(os.Args[1])
	if err != nil {
		return err
	}
	bin, err := embedded.Programs(context.Background(), major, embedded.PostgresOptions{
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, bin)
	return err
}
