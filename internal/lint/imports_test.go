// Package lint keeps the rules of the house that the compiler can't keep. It has tests only.
package lint

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/hune-io/hune/"

// The layers of docs/architecture.md, lowest first. A package may import packages of its own layer
// only where the comment says so, and never of a higher one.
var layers = []struct {
	name     string
	packages []string
	inside   bool // packages of the layer may import each other
}{
	{"floor", []string{"internal/tenant", "internal/signal", "internal/fault", "internal/wal", "internal/bucket", "internal/cache",
		"internal/block", "internal/column", "internal/deletes", "internal/rules", "internal/limits", "internal/ring", "internal/auth", "internal/telemetry", "internal/freeport", "internal/ownfile", "internal/inturn"}, true},
	{"signals", []string{"internal/metrics", "internal/logs", "internal/traces"}, false},
	{"jobs", []string{"internal/job", "internal/history"}, false},
	{"roles", []string{"internal/collector", "internal/scraper", "internal/distributor", "internal/ingester", "internal/compactor", "internal/generator",
		"internal/store", "internal/querier", "internal/scheduler", "internal/frontend", "internal/ruler", "internal/alertmanager",
		"internal/s3", "web/ui"}, false},
	{"api", []string{"internal/api"}, true},
	{"app", []string{"internal/config", "internal/app", "internal/demo", "internal/loggen"}, true},
	{"cmd", []string{"cmd", "bench", "conformance"}, true},
}

// only lists modules that one package alone may import: everybody else goes through it.
var only = map[string]struct {
	packages []string
	instead  string
}{
	// The interface objstore.Bucket is everybody's; what opens one is not.
	"github.com/thanos-io/objstore/client":               {[]string{"internal/bucket"}, "use internal/bucket"},
	"github.com/thanos-io/objstore/providers":            {[]string{"internal/bucket"}, "use internal/bucket"},
	"github.com/redis/":                                  {[]string{"internal/cache"}, "use internal/cache"},
	"github.com/grafana/dskit/ring":                      {[]string{"internal/ring"}, "use internal/ring"},
	"github.com/grafana/dskit/kv":                        {[]string{"internal/ring"}, "use internal/ring"},
	"github.com/versity/":                                {[]string{"internal/s3"}, "use internal/s3"},
	"github.com/grafana/loki/v3":                         {nil, "AGPL: only github.com/grafana/loki/pkg/push may be used"},
	"github.com/grafana/tempo/modules":                   {nil, "AGPL"},
	"github.com/minio/minio/":                            {nil, "AGPL: use internal/s3"},
	"github.com/prometheus/prometheus/discovery/install": {nil, "it costs 100 MB: import discovery packages one by one"},
}

func TestImportsGoDownwards(t *testing.T) {
	root := "../.."
	seen := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case "node_modules", "testdata", ".git", "hune-data", "dist":
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		seen++
		pkg := filepath.ToSlash(filepath.Dir(rel))
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			check(t, rel, pkg, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 20 {
		t.Fatalf("only %d files were looked at: is the root right?", seen)
	}
}

func check(t *testing.T, file, pkg, imported string) {
	t.Helper()
	isTest := strings.HasSuffix(file, "_test.go")
	for prefix, rule := range only {
		if !strings.HasPrefix(imported+"/", prefix) {
			continue
		}
		allowed := isTest && rule.packages != nil
		for _, p := range rule.packages {
			allowed = allowed || under(pkg, p)
		}
		if !allowed {
			t.Errorf("%s imports %s: %s", file, imported, rule.instead)
		}
	}
	local, ok := strings.CutPrefix(imported, module)
	if !ok || isTest {
		return // a test may stand on anything that the compiler lets it import
	}
	from, fromGroup := layerOf(pkg)
	to, toGroup := layerOf(local)
	switch {
	case from < 0:
		t.Errorf("%s: package %s has no layer: add it to this test and to docs/architecture.md", file, pkg)
	case to < 0:
		t.Errorf("%s: package %s has no layer: add it to this test and to docs/architecture.md", file, local)
	case to > from:
		t.Errorf("%s (%s) imports %s (%s): imports go downwards only", file, layers[from].name, local, layers[to].name)
	case to == from && fromGroup != toGroup && !layers[from].inside:
		t.Errorf("%s imports %s: %s don't import each other, declare the interface that you need", file, local, layers[from].name)
	}
}

// layerOf returns the index of a package's layer and the entry that it falls under.
func layerOf(pkg string) (layer int, group string) {
	for i, l := range layers {
		for _, p := range l.packages {
			if under(pkg, p) {
				return i, p
			}
		}
	}
	return -1, ""
}

func under(pkg, parent string) bool { return pkg == parent || strings.HasPrefix(pkg, parent+"/") }

// Every package says what it is.
func TestPackagesAreDocumented(t *testing.T) {
	for _, root := range []string{"../../internal", "../../cmd", "../../web/ui"} {
		dirs := map[string]bool{}
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata") {
				return filepath.SkipDir
			}
			if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			dir := filepath.Dir(path)
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				return err
			}
			dirs[dir] = dirs[dir] || file.Doc != nil
			return nil
		})
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for dir, documented := range dirs {
			if !documented {
				t.Errorf("%s has no package comment", dir)
			}
		}
	}
}
