package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"github.com/brimline/brimline"
)

// confirm asks for a yes. Without a terminal it is an error that names --yes.
func (w *world) confirm(question string) (bool, error) {
	if !isTerminal(w.in) {
		return false, &brimline.Error{
			Class: brimline.ClassInput, Kind: "not_confirmed", Err: errors.New("there is no terminal to ask at"),
			Remedy: "say --yes if you mean it; without a terminal that is the only way",
		}
	}
	fmt.Fprintf(w.out, "%s [y/N] ", question)
	answer, _ := bufio.NewReader(w.in).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	fmt.Fprintln(w.out, "nothing was done")
	return false, nil
}
