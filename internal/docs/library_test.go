package docs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/brimline/brimline"

// library are the packages for programs outside this module; CHANGELOG.md says that they are versioned.
func library() []string {
	return []string{module, module + "/codecs", module + "/codecs/debezium", module + "/views"}
}

// load reads packages as the compiler exports them.
func load(t *testing.T, dir string, paths ...string) []*types.Package {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-export", "-deps", "-json=ImportPath,Export"}, paths...)...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	exports := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Export string }
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
	}
	from := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})
	var loaded []*types.Package
	for _, path := range paths {
		p, err := from.Import(path)
		if err != nil {
			t.Fatal(err)
		}
		loaded = append(loaded, p)
	}
	return loaded
}

// No program outside can name a type of an internal package, so none stands in what it calls, is given or sets.
func TestNoInternalTypeIsExported(t *testing.T) {
	for _, p := range load(t, root, library()...) {
		for _, where := range internalTypes(p) {
			t.Error(where)
		}
	}
}

// internalTypes are the places of a package's exported declarations that name a type of an internal package.
func internalTypes(p *types.Package) []string {
	s := &surface{of: p, seen: map[types.Type]bool{}}
	for _, name := range p.Scope().Names() {
		if ast.IsExported(name) {
			object := p.Scope().Lookup(name)
			s.visit(p.Name()+"."+name, object.Type())
			if declared, ok := object.(*types.TypeName); ok && declared.IsAlias() {
				s.visit(p.Name()+"."+name, types.Unalias(object.Type()))
			}
		}
	}
	slices.Sort(s.found)
	return slices.Compact(s.found)
}

// surface walks through what a program outside can see of a package.
type surface struct {
	of    *types.Package
	seen  map[types.Type]bool
	found []string
}

func (s *surface) visit(where string, t types.Type) {
	switch t := t.(type) {
	case *types.Alias:
		s.named(where, t.Obj())
		s.visit(where, t.Rhs())
	case *types.Named:
		if !s.named(where, t.Obj()) {
			return
		}
		if s.seen[t] { // every circle leads through a named type
			return
		}
		s.seen[t] = true
		for i := range t.TypeArgs().Len() {
			s.visit(where, t.TypeArgs().At(i))
		}
		for i := range t.TypeParams().Len() {
			s.visit(where, t.TypeParams().At(i).Constraint())
		}
		if t.Obj().Pkg() != s.of {
			return
		}
		// The methods of a pointer are all that there are, those of embedded types among them.
		methods := types.NewMethodSet(types.NewPointer(t))
		for i := range methods.Len() {
			if m := methods.At(i).Obj(); m.Exported() {
				s.visit(where+"."+m.Name(), m.Type())
			}
		}
		s.visit(where, t.Underlying())
	case *types.Pointer:
		s.visit(where, t.Elem())
	case *types.Slice:
		s.visit(where, t.Elem())
	case *types.Array:
		s.visit(where, t.Elem())
	case *types.Chan:
		s.visit(where, t.Elem())
	case *types.Map:
		s.visit(where, t.Key())
		s.visit(where, t.Elem())
	case *types.Signature:
		s.visit(where, t.Params())
		s.visit(where, t.Results())
	case *types.Tuple:
		for i := range t.Len() {
			s.visit(where, t.At(i).Type())
		}
	case *types.Struct:
		for i := range t.NumFields() {
			if f := t.Field(i); f.Exported() {
				s.visit(where+"."+f.Name(), f.Type())
			}
		}
	case *types.Interface:
		for i := range t.NumMethods() {
			if m := t.Method(i); m.Exported() {
				s.visit(where+"."+m.Name(), m.Type())
			}
		}
		for i := range t.NumEmbeddeds() {
			s.visit(where, t.EmbeddedType(i))
		}
	case *types.Union:
		for i := range t.Len() {
			s.visit(where, t.Term(i).Type())
		}
	}
}

// named reports whether a type may be named outside, and notes where it may not.
func (s *surface) named(where string, t *types.TypeName) bool {
	if p := t.Pkg(); p != nil && slices.Contains(strings.Split(p.Path(), "/"), "internal") {
		s.found = append(s.found, fmt.Sprintf("%s names %s.%s", where, p.Path(), t.Name()))
		return false
	}
	return true
}

// The check finds what it is for, wherever it hides.
func TestInternalTypesAreFound(t *testing.T) {
	dir := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(dir+"/"+path[:strings.LastIndex(path, "/")+1], 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example.com/m\n\ngo 1.26\n")
	write("internal/x/x.go", "package x\n\ntype T struct{}\n")
	write("m.go", `package m

import "example.com/m/internal/x"

type (
	Alias   = x.T
	Field   struct{ Of []map[string]*x.T }
	hidden  struct{}
	Embeds  struct{ hidden }
	Inner   struct{ none x.T }
	Generic[P any] struct{ V P }
	Asks    interface{ Ask(func() chan x.T) }
)

func (hidden) Promoted(...x.T) {}
func (*Inner) Harmless() error { return nil }
func unseen(x.T) {}
func Gives() (int, *x.T)   { return 0, nil }

var Value Generic[x.T]
`)
	got := internalTypes(load(t, dir, "example.com/m")[0])
	const of = " names example.com/m/internal/x.T"
	var want []string
	for _, where := range []string{"Alias", "Asks.Ask", "Embeds.Promoted", "Field.Of", "Gives", "Value", "Value.V"} {
		want = append(want, "m."+where+of)
	}
	if !slices.Equal(got, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
