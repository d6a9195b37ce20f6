package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/starter"
)

type rulesInitCmd struct {
	File    string `arg:"" optional:"" default:"rules.yaml" help:"The rules file to write."`
	Suggest bool   `help:"Also look at some users' days, for a limit that is rarely passed."`
	Force   bool   `help:"Overwrite files that are there."`

	MinorUnits      int `name:"amount-minor-units" help:"n where the amount column counts 10^-n in whole numbers: 2 for cents; 0: whole units." default:"0" env:"BRIMLINE_AMOUNT_MINOR_UNITS"`
	config.Watched  `group:"Watched table"`
	config.Database `group:"PostgreSQL"`
}

func (rulesInitCmd) Help() string {
	return `Writes a rules file to begin with, full of comments, tests of it that hold, and
beside them the schemas with which editors help to write both. Nothing that is
there is overwritten.

With a database URL, the table's catalog says how many decimals amounts have
and which further columns rules can ask about. --suggest also adds up, by day,
the newest 1,000 transactions of up to 300 users, and takes as the limit what
999 of 1,000 of these days keep to.

Examples:

	brimline rules init
	brimline rules init --suggest --database-url postgres://brimline@db/app --table shop.payments`
}

func (c *rulesInitCmd) Run(w *world) error {
	all := config.Default()
	all.Watched, all.Database, all.AmountMinorUnits = c.Watched, c.Database, c.MinorUnits
	if err := config.Check(&all.Watched); err != nil {
		return err
	}
	if err := all.ReadSecrets(); err != nil {
		return err
	}
	about := starter.About{Decimals: 2}
	switch {
	case all.DatabaseURL != "":
		found, err := app.Survey(w, &all, c.Suggest)
		if err != nil {
			return err
		}
		about = *found
	case c.Suggest:
		return usage("--suggest", "give --database-url", errors.New("there is no database to look at"))
	}
	files, err := starter.Files(c.File, about)
	if err != nil {
		return err
	}
	if !c.Force {
		if err := keep(files); err != nil {
			return err
		}
	}
	for _, f := range files {
		if same(f) {
			continue
		}
		if err := os.WriteFile(f.Path, f.Text, 0o644); err != nil { //nolint:gosec // nothing in it is secret
			return &brimline.Error{
				Class: brimline.ClassInput, Kind: "file", Where: f.Path, Remedy: "name a file that can be written", Err: err,
			}
		}
		fmt.Fprintf(w.out, "wrote %s\n", f.Path)
	}
	fmt.Fprintf(w.out, "now: brimline rules test %s\n", files[1].Path)
	return nil
}

// same says whether the file is there with that text already.
func same(f starter.File) bool {
	text, err := os.ReadFile(f.Path)
	return err == nil && bytes.Equal(text, f.Text)
}

// keep refuses to overwrite any of the files.
func keep(files []starter.File) error {
	var there []string
	for _, f := range files {
		if _, err := os.Lstat(f.Path); !errors.Is(err, fs.ErrNotExist) && !same(f) {
			there = append(there, f.Path)
		}
	}
	if len(there) == 0 {
		return nil
	}
	return &brimline.Error{
		Class: brimline.ClassInput, Kind: "file", Where: strings.Join(there, ", "),
		Remedy: "name another file, or overwrite with --force", Err: fs.ErrExist,
	}
}
