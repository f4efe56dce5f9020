// Package ui is Hune's web page: a single-page application that is built by vite, committed in dist
// and embedded already compressed, so that go build never runs Node.
//
// dist holds index.html, assets/NAME-HASH.EXT.gz and BUILD.json, which lists a digest of every
// source and every output. fresh_test.go compares both with the tree: a page that was not rebuilt
// after a change of its sources, or was edited by hand, fails the tests. The sources are in src;
// `make ui` builds.
//
// The page asks the public APIs of its own origin (paths of Prometheus, Loki, Tempo, Alertmanager and
// /api/hune/v1) and nothing else. It asks for no path of its own beyond BasePath.
package ui

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

//go:embed all:dist
var dist embed.FS

// asset is one file of dist/assets. Name carries a hash of the content, so it never changes.
type asset struct {
	gz          []byte
	etag        string
	contentType string
}

// contentTypes are those that the build produces; mime.TypeByExtension depends on the machine.
var contentTypes = map[string]string{
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
	".json": "application/json",
}

// load reads index.html and the assets (by their path below BasePath, without .gz) of an embedded
// dist.
func load(files fs.FS) (index []byte, assets map[string]asset, err error) {
	if index, err = fs.ReadFile(files, "dist/index.html"); err != nil {
		return nil, nil, fmt.Errorf("read embedded page: %w", err)
	}
	names, err := fs.Glob(files, "dist/assets/*.gz")
	if err != nil {
		return nil, nil, fmt.Errorf("list embedded assets: %w", err)
	}
	assets = make(map[string]asset, len(names))
	for _, name := range names {
		gz, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, nil, fmt.Errorf("read embedded asset: %w", err)
		}
		plain := strings.TrimSuffix(strings.TrimPrefix(name, "dist/"), ".gz")
		contentType, ok := contentTypes[path.Ext(plain)]
		if !ok {
			return nil, nil, fmt.Errorf("embedded asset %s: no content type for this extension", name)
		}
		assets[plain] = asset{gz: gz, etag: etagOf(gz), contentType: contentType}
	}
	return index, assets, nil
}

func etagOf(b []byte) string {
	sum := sha256.Sum256(b)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}
