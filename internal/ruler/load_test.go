package ruler

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A file that didn't change isn't decoded again; one that changed, went away or came is seen.
func TestFilesAreDecodedWhenTheyChange(t *testing.T) {
	dir := t.TempDir()
	write := func(name, alert string) {
		text := fmt.Sprintf("groups: [{name: %s, rules: [{alert: %s, expr: vector(1)}]}]", name, alert)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".yml"), []byte(text), 0o600))
	}
	r := &Ruler{o: Options{Config: Config{Files: []string{filepath.Join(dir, "*.yml")}}, Tenant: "a"}}
	names := func() string {
		t.Helper()
		gs, err := r.readFiles(r.o.Config.Files)
		require.NoError(t, err)
		var out []string
		for _, s := range gs {
			for _, file := range s.files() {
				out = append(out, s[file][0].Rules[0].Alert)
			}
		}
		return strings.Join(out, " ")
	}
	write("x", "A")
	write("y", "B")
	require.Equal(t, "A B", names())
	before := &r.known[filepath.Join(dir, "x.yml")].groups[0]
	write("y", "C")
	require.Equal(t, "A C", names())
	require.Same(t, before, &r.known[filepath.Join(dir, "x.yml")].groups[0], "it is not decoded again")
	require.NoError(t, os.Remove(filepath.Join(dir, "x.yml")))
	write("z", "D")
	require.Equal(t, "C D", names())
	require.Len(t, r.known, 2)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "z.yml"), []byte("groups: [{nam: z}]"), 0o600))
	for range 2 {
		_, err := r.readFiles(r.o.Config.Files)
		require.ErrorContains(t, err, "field nam not found", "a fault is told each time")
	}
	write("z", "D")
	require.Equal(t, "C D", names())
}
