package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The budgets of the page in bytes on the wire (gzip).
const (
	entryBudget = 60 << 10
	totalBudget = 400 << 10
)

// build is dist/BUILD.json, as scripts/seal.mjs writes it.
type build struct {
	Inputs  string   `json:"inputs"`
	Entry   []string `json:"entry"`
	Outputs []struct {
		Path   string `json:"path"`
		Size   int    `json:"size"`
		Gzip   int    `json:"gzip"`
		SHA256 string `json:"sha256"`
	} `json:"outputs"`
}

func readBuild(t *testing.T) build {
	t.Helper()
	raw, err := dist.ReadFile("dist/BUILD.json")
	require.NoError(t, err)
	var b build
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&b))
	return b
}

// inputDigest is what scripts/inputs.mjs computes.
func inputDigest(t *testing.T) string {
	t.Helper()
	paths := []string{".npmrc", "index.html", "package-lock.json", "package.json", "tsconfig.json", "vite.config.ts"}
	unitTest := regexp.MustCompile(`\.test\.tsx?$`)
	for _, root := range []string{"scripts", "src"} {
		require.NoError(t, filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() && !unitTest.MatchString(p) {
				paths = append(paths, filepath.ToSlash(p))
			}
			return err
		}))
	}
	slices.Sort(paths)
	h := sha256.New()
	for _, p := range paths {
		content, err := os.ReadFile(p)
		require.NoError(t, err)
		content = bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n"))
		_, _ = fmt.Fprintf(h, "%s\x00%d\x00", p, len(content))
		_, _ = h.Write(content)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func TestDistIsFresh(t *testing.T) {
	if got := inputDigest(t); got != readBuild(t).Inputs {
		t.Errorf("the sources of the page changed after dist was built: run make ui (sources %s)", got)
	}
}

func TestDistIsWhatWasBuilt(t *testing.T) {
	b := readBuild(t)
	var listed []string
	for _, o := range b.Outputs {
		var raw []byte
		if o.Path == "index.html" {
			page, err := dist.ReadFile("dist/index.html")
			require.NoError(t, err)
			raw = page
			listed = append(listed, "dist/index.html")
		} else {
			raw = gunzipped(t, "dist/"+o.Path+".gz")
			listed = append(listed, "dist/"+o.Path+".gz")
		}
		sum := sha256.Sum256(raw)
		if hex.EncodeToString(sum[:]) != o.SHA256 || len(raw) != o.Size {
			t.Errorf("dist/%s is not what the build wrote: run make ui", o.Path)
		}
	}
	var present []string
	require.NoError(t, fs.WalkDir(dist, "dist", func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && p != "dist/BUILD.json" {
			present = append(present, p)
		}
		return err
	}))
	slices.Sort(listed)
	require.Equal(t, listed, present, "dist holds other files than BUILD.json lists: run make ui")
}

func gunzipped(t *testing.T, name string) []byte {
	t.Helper()
	gz, err := dist.ReadFile(name)
	require.NoError(t, err)
	zr, err := gzip.NewReader(bytes.NewReader(gz))
	require.NoError(t, err)
	raw, err := io.ReadAll(zr)
	require.NoError(t, err)
	return raw
}

func TestSizeBudgets(t *testing.T) {
	b := readBuild(t)
	require.NotEmpty(t, b.Entry)
	entry, total := 0, 0
	for _, o := range b.Outputs {
		if o.Path != "index.html" {
			gz, err := dist.ReadFile("dist/" + o.Path + ".gz")
			require.NoError(t, err)
			require.Len(t, gz, o.Gzip, o.Path)
		}
		total += o.Gzip
		if o.Path == "index.html" || slices.Contains(b.Entry, o.Path) {
			entry += o.Gzip
		}
	}
	t.Logf("entry %.1f kB, all %.1f kB (gzip)", float64(entry)/1024, float64(total)/1024)
	require.LessOrEqual(t, entry, entryBudget, "entry JS and CSS")
	require.LessOrEqual(t, total, totalBudget, "whole page")
}

// The lock file must install from whatever registry a machine is set up for.
func TestLockFileNamesNoHost(t *testing.T) {
	lock, err := os.ReadFile("package-lock.json")
	require.NoError(t, err)
	require.NotContains(t, string(lock), `"resolved"`)
	require.NotContains(t, strings.ReplaceAll(string(lock), `"url": "https://`, ""), "registry")
}
