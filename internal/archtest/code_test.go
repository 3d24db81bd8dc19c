package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// maxLines is the length of the longest file written by hand. style: a file near 600
// lines is two files.
const maxLines = 700

// mayPanic lists the functions that panic on purpose, each with its reason.
var mayPanic = map[string]string{}

// A source is one parsed file.
type source struct {
	name      string // inside the module: "internal/live/arn.go"
	test      bool   // a _test.go file, or one of a package for tests
	generated bool
	lines     int
	ast       *ast.File
}

// sources parses every Go file of p.
func sources(t *testing.T, fset *token.FileSet, p pkg) []source {
	t.Helper()
	var all []source
	for _, name := range slices.Concat(p.GoFiles, p.CgoFiles, p.TestGoFiles, p.XTestGoFiles, p.IgnoredGoFiles) {
		text, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(fset, filepath.Join(p.path, name), text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, source{
			name:      filepath.Join(p.path, name),
			test:      strings.HasSuffix(name, "_test.go") || isTestOnly(p.path),
			generated: ast.IsGenerated(f),
			lines:     bytes.Count(text, []byte("\n")),
			ast:       f,
		})
	}
	return all
}

func TestPackageComments(t *testing.T) {
	for _, p := range packages(t) {
		fset := token.NewFileSet()
		if !slices.ContainsFunc(sources(t, fset, p), func(s source) bool {
			name, doc := strings.TrimSuffix(s.ast.Name.Name, "_test"), s.ast.Doc.Text()
			return strings.HasPrefix(doc, "Package "+name+" ") || name == "main" && strings.HasPrefix(doc, "Command ")
		}) {
			t.Errorf("%s has no package comment that says what it is for", p.path)
		}
	}
}

func TestFileSizes(t *testing.T) {
	for _, p := range packages(t) {
		for _, s := range sources(t, token.NewFileSet(), p) {
			if !s.generated && s.lines > maxLines {
				t.Errorf("%s has %d lines, more than %d: which two names would be clearer?", s.name, s.lines, maxLines)
			}
		}
	}
}

// TestForbidden finds what the tree does without: functions that run before main,
// panics and exits outside main, contexts kept in structs.
func TestForbidden(t *testing.T) {
	for _, p := range packages(t) {
		fset := token.NewFileSet()
		for _, s := range sources(t, fset, p) {
			for _, f := range forbidden(s) {
				t.Errorf("%s: %s", fset.Position(f.pos), f.what)
			}
		}
	}
}

type finding struct {
	pos  token.Pos
	what string
}

func forbidden(s source) []finding {
	var found []finding
	add := func(n ast.Node, what string) { found = append(found, finding{n.Pos(), what}) }
	main := s.ast.Name.Name == "main"
	for _, d := range s.ast.Decls {
		fn, _ := d.(*ast.FuncDecl)
		if fn != nil && fn.Recv == nil && fn.Name.Name == "init" {
			add(fn, "func init runs behind the reader's back")
		}
		ast.Inspect(d, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				switch name := callee(n); {
				case name == "panic" && !main && !s.test && !s.generated && !passedOn(n, fn) && mayPanic[funcName(s, fn)] == "":
					add(n, "panic: return an error, or give the reason in mayPanic")
				case (name == "os.Exit" || strings.HasPrefix(name, "log.Fatal") || strings.HasPrefix(name, "log.Panic")) && !main:
					add(n, name+" outside main")
				}
			case *ast.StructType:
				for _, f := range n.Fields.List {
					if sel, ok := f.Type.(*ast.SelectorExpr); ok && !s.test && qualified(sel) == "context.Context" {
						add(f, "a context in a struct: pass it as the first parameter")
					}
				}
			}
			return true
		})
	}
	return found
}

// TestForbiddenFinds shows that the rule above can fail.
func TestForbiddenFinds(t *testing.T) {
	for name, tt := range map[string]struct {
		pkg, code string
		test      bool
		want      int
	}{
		"clean":                      {"a", `func f() error { return nil }`, false, 0},
		"init":                       {"a", `func init() {}`, false, 1},
		"init of a type is a method": {"a", `type s int; func (s) init() {}`, false, 0},
		"panic":                      {"a", `func f() { panic("x") }`, false, 1},
		"panic in a variable":        {"a", `var f = func() { panic("x") }`, false, 1},
		"panic in main":              {"main", `func f() { panic("x") }`, false, 0},
		"a panic passed on":          {"a", `func f() { if p := recover(); p != nil { panic(p) } }`, false, 0},
		"a broken connection":        {"a", `func f() { panic(http.ErrAbortHandler) }`, false, 0},
		"panic beside recover":       {"a", `func f() { recover(); panic("x") }`, false, 1},
		"panic in a test":            {"a", `func f() { panic("x") }`, true, 0},
		"exit":                       {"a", `func f() { os.Exit(1) }`, false, 1},
		"exit in main":               {"main", `func f() { os.Exit(1) }`, false, 0},
		"fatal in a closure":         {"a", `func f() { func() { log.Fatalf("x") }() }`, false, 1},
		"context in a struct":        {"a", `type s struct { ctx context.Context }`, false, 1},
		"context as a parameter":     {"a", `type s struct { f func(ctx context.Context) }`, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := parser.ParseFile(token.NewFileSet(), "a/a.go", "package "+tt.pkg+"\n"+tt.code, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got := forbidden(source{name: "a/a.go", test: tt.test, ast: f}); len(got) != tt.want {
				t.Errorf("forbidden(%s) = %v, want %d findings", tt.code, got, tt.want)
			}
		})
	}
}

// passedOn reports whether call, inside fn, panics with a variable while fn recovers
// (it passes on what it caught), or breaks a connection the way net/http wants it.
func passedOn(call *ast.CallExpr, fn *ast.FuncDecl) bool {
	switch arg := call.Args[0].(type) {
	case *ast.SelectorExpr:
		return qualified(arg) == "http.ErrAbortHandler"
	case *ast.Ident:
	default:
		return false
	}
	if fn == nil {
		return false
	}
	recovers := false
	ast.Inspect(fn, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok && callee(c) == "recover" {
			recovers = true
		}
		return !recovers
	})
	return recovers
}

// callee is the name a call is written with: "panic", "os.Exit"; "" when it is not
// that plain.
func callee(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return qualified(f)
	}
	return ""
}

func qualified(s *ast.SelectorExpr) string {
	if x, ok := s.X.(*ast.Ident); ok {
		return x.Name + "." + s.Sel.Name
	}
	return ""
}

// funcName is the key of mayPanic: "internal/live.NewID", or the package alone
// outside functions.
func funcName(s source, fn *ast.FuncDecl) string {
	if fn == nil {
		return filepath.Dir(s.name)
	}
	return filepath.Dir(s.name) + "." + fn.Name.Name
}
