package brimline_test

import (
	"errors"
	"fmt"

	"github.com/brimline/brimline"
)

// Amounts are integers of a scale, so that sums are exact. What does not fit is an error, never a rounding.
func ExampleParseAmount() {
	sum := brimline.Total{}
	for _, text := range []string{"0.10", "0.20", "-0.3"} {
		amount, err := brimline.ParseAmount(text, 2)
		if err != nil {
			fmt.Println(err)
			return
		}
		sum = sum.AddAmount(amount)
	}
	fmt.Println(sum.Format(2))
	_, err := brimline.ParseAmount("0.125", 2)
	fmt.Println(err != nil)
	// Output:
	// 0.00
	// true
}

// An error says what kind it is, for programs, and what to do, for people.
func ExampleError() {
	var err error = &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "no_table", Where: `opening a view of table "g-window-table"`,
		Remedy: "start `brimline run` first", Err: errors.New("there is no such table"),
	}
	if known, ok := errors.AsType[*brimline.Error](err); ok {
		fmt.Println(known.Kind, "-", known.Remedy, "- exit code", brimline.ExitCode(err))
	}
	// Output: no_table - start `brimline run` first - exit code 3
}
