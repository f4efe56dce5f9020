package bucket

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/thanos-io/objstore"
)

// tmpDir holds objects that are being written. A tenant can't have this name, since "~" is not
// allowed in one.
const tmpDir = "~tmp"

// staleAfter is the age at which a file in tmpDir is taken for the rest of a process that died. Other
// processes may share the folder, so younger ones are left alone.
const staleAfter = 24 * time.Hour

const maxNameLen = 1024 // as in S3

// FS is a bucket in a folder. Safe for concurrent use, by several processes too.
//
// Names are paths of the folder, checked before use, and resolved by os.Root: neither ".." nor a
// symbolic link leads out of it. An object "a" and an object "a/b" can't both exist.
type FS struct {
	dir  string
	root *os.Root
}

var _ objstore.Bucket = (*FS)(nil)

// OpenFilesystem opens the bucket in dir, which is created if need be.
func OpenFilesystem(dir string) (*FS, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, tmpDir), 0o777); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	b := &FS{dir: dir, root: root}
	if err := errors.Join(b.removeStale(time.Now()), b.syncDir("."), syncPath(filepath.Dir(dir))); err != nil {
		root.Close()
		return nil, err
	}
	return b, nil
}

func (b *FS) removeStale(now time.Time) error {
	entries, err := b.readDir(tmpDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || now.Sub(info.ModTime()) < staleAfter {
			continue
		}
		if err := b.root.Remove(path.Join(tmpDir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// checkName says why name can't be an object's, or nil.
func checkName(name string) error {
	if name == "" {
		return errors.New("object name is empty")
	}
	if len(name) > maxNameLen {
		return fmt.Errorf("object name of %d bytes, at most %d are allowed", len(name), maxNameLen)
	}
	for i, e := range strings.Split(name, "/") {
		if e == "" || e == "." || e == ".." || strings.ContainsAny(e, "\x00\\") || i == 0 && e == tmpDir {
			return fmt.Errorf("object name %q is not allowed", name)
		}
	}
	return nil
}

func notExist(op, name string) error {
	return &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

// Provider implements objstore.Bucket.
func (b *FS) Provider() objstore.ObjProvider { return objstore.FILESYSTEM }

// Name implements objstore.Bucket.
func (b *FS) Name() string { return "fs: " + b.dir }

// Close implements objstore.Bucket.
func (b *FS) Close() error { return b.root.Close() }

// IsObjNotFoundErr implements objstore.Bucket.
func (b *FS) IsObjNotFoundErr(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// IsAccessDeniedErr implements objstore.Bucket.
func (b *FS) IsAccessDeniedErr(err error) bool { return errors.Is(err, fs.ErrPermission) }

// SupportedIterOptions implements objstore.Bucket.
func (b *FS) SupportedIterOptions() []objstore.IterOptionType {
	return []objstore.IterOptionType{objstore.Recursive, objstore.UpdatedAt}
}

// Upload writes r as object name. The object appears whole and durable, or not at all; an older one
// of the name is replaced in one step.
func (b *FS) Upload(ctx context.Context, name string, r io.Reader, _ ...objstore.ObjectUploadOption) error {
	if err := errors.Join(ctx.Err(), checkName(name)); err != nil {
		return fmt.Errorf("upload %q: %w", name, err)
	}
	tmp := path.Join(tmpDir, rand.Text())
	if err := b.writeSynced(tmp, &contextReader{ctx, r}); err != nil {
		return errors.Join(fmt.Errorf("upload %q: %w", name, err), b.removeIfThere(tmp))
	}
	if err := b.publish(tmp, name); err != nil {
		return errors.Join(fmt.Errorf("upload %q: %w", name, err), b.removeIfThere(tmp))
	}
	return nil
}

func (b *FS) writeSynced(name string, r io.Reader) error {
	f, err := b.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// publish renames tmp to name. A Delete beside us may take away the folders that we just made, so it
// tries again while that happens.
func (b *FS) publish(tmp, name string) error {
	dir := path.Dir(name)
	for try := 0; ; try++ {
		err := b.mkdirSynced(dir)
		if err == nil {
			err = b.root.Rename(tmp, name)
		}
		if err == nil {
			return b.syncDir(dir)
		}
		if !errors.Is(err, fs.ErrNotExist) || try == 100 {
			return err
		}
	}
}

func (b *FS) mkdirSynced(dir string) error {
	if dir == "." {
		return nil
	}
	if info, err := b.root.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := path.Dir(dir)
	if err := b.mkdirSynced(parent); err != nil {
		return err
	}
	if err := b.root.Mkdir(dir, 0o777); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	return b.syncDir(parent)
}

func (b *FS) syncDir(dir string) error {
	f, err := b.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func syncPath(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (b *FS) removeIfThere(name string) error {
	if err := b.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// contextReader ends a copy when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// Delete removes object name, and the folders that it leaves empty. Durable when it returns, so that
// the order of deletes survives a power cut.
func (b *FS) Delete(ctx context.Context, name string) error {
	if err := errors.Join(ctx.Err(), checkName(name)); err != nil {
		return fmt.Errorf("delete %q: %w", name, err)
	}
	if _, err := b.stat(name); err != nil {
		return fmt.Errorf("delete %q: %w", name, err)
	}
	if err := b.root.Remove(name); err != nil {
		return fmt.Errorf("delete %q: %w", name, err)
	}
	dir := path.Dir(name)
	for ; dir != "."; dir = path.Dir(dir) {
		// Remove takes only an empty folder, so an Upload beside us loses nothing but its folder.
		if err := b.root.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err := b.syncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete %q: %w", name, err)
	}
	return nil
}

// stat returns what name is, if it is an object.
func (b *FS) stat(name string) (fs.FileInfo, error) {
	info, err := b.root.Stat(name)
	if err != nil {
		if errors.Is(err, syscall.ENOTDIR) {
			return nil, notExist("stat", name) // "a/b" where "a" is an object
		}
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, notExist("stat", name)
	}
	return info, nil
}

// Exists implements objstore.Bucket.
func (b *FS) Exists(ctx context.Context, name string) (bool, error) {
	_, err := b.Attributes(ctx, name)
	if b.IsObjNotFoundErr(err) {
		return false, nil
	}
	return err == nil, err
}

// Attributes implements objstore.Bucket.
func (b *FS) Attributes(ctx context.Context, name string) (objstore.ObjectAttributes, error) {
	if err := errors.Join(ctx.Err(), checkName(name)); err != nil {
		return objstore.ObjectAttributes{}, fmt.Errorf("stat %q: %w", name, err)
	}
	info, err := b.stat(name)
	if err != nil {
		return objstore.ObjectAttributes{}, fmt.Errorf("stat %q: %w", name, err)
	}
	return objstore.ObjectAttributes{Size: info.Size(), LastModified: info.ModTime()}, nil
}

// Get implements objstore.Bucket.
func (b *FS) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	return b.GetRange(ctx, name, 0, -1)
}

// GetRange implements objstore.Bucket. Length -1 reads to the end; a range beyond the end is empty.
func (b *FS) GetRange(ctx context.Context, name string, off, length int64) (io.ReadCloser, error) {
	if err := errors.Join(ctx.Err(), checkName(name)); err != nil {
		return nil, fmt.Errorf("get %q: %w", name, err)
	}
	if off < 0 || length < -1 {
		return nil, fmt.Errorf("get %q: range %d+%d is not valid", name, off, length)
	}
	f, err := b.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // doesn't wait for the writer of a pipe
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENXIO) {
		err = notExist("open", name) // "a/b" where "a" is an object, or a socket
	}
	if err != nil {
		return nil, fmt.Errorf("get %q: %w", name, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = notExist("open", name)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("get %q: %w", name, err), f.Close())
	}
	n := max(0, info.Size()-off)
	if length >= 0 {
		n = min(n, length)
	}
	return &fileRange{SectionReader: io.NewSectionReader(f, off, n), f: f}, nil
}

// fileRange is a part of a file. The file can't change: objects are replaced, never written to.
type fileRange struct {
	*io.SectionReader
	f *os.File
}

// Close closes the file.
func (r *fileRange) Close() error { return r.f.Close() }

// ObjectSize implements objstore.ObjectSizer.
func (r *fileRange) ObjectSize() (int64, error) { return r.Size(), nil }

// Iter implements objstore.Bucket.
func (b *FS) Iter(ctx context.Context, dir string, f func(string) error, options ...objstore.IterOption) error {
	kept := slices.DeleteFunc(slices.Clone(options), func(o objstore.IterOption) bool { return o.Type != objstore.Recursive })
	return b.IterWithAttributes(ctx, dir, func(a objstore.IterObjectAttributes) error { return f(a.Name) }, kept...)
}

// IterWithAttributes implements objstore.Bucket. Names come in the order of S3, where folders end
// with "/".
func (b *FS) IterWithAttributes(ctx context.Context, dir string, f func(objstore.IterObjectAttributes) error, options ...objstore.IterOption) error {
	if err := objstore.ValidateIterOptions(b.SupportedIterOptions(), options...); err != nil {
		return err
	}
	dir = strings.TrimSuffix(dir, "/")
	if dir != "" {
		if err := checkName(dir); err != nil {
			return fmt.Errorf("list %q: %w", dir, err)
		}
	}
	if err := b.iter(ctx, dir, objstore.ApplyIterOptions(options...), f); err != nil {
		return fmt.Errorf("list %q: %w", dir, err)
	}
	return nil
}

func (b *FS) iter(ctx context.Context, dir string, p objstore.IterParams, f func(objstore.IterObjectAttributes) error) error {
	entries, err := b.readDir(path.Join(".", dir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := path.Join(dir, e.Name())
		if e.IsDir() {
			if name == tmpDir {
				continue
			}
			if p.Recursive {
				err = b.iter(ctx, name, p, f)
			} else if some, serr := b.hasObject(name); serr != nil || !some {
				err = serr
			} else {
				err = f(objstore.IterObjectAttributes{Name: name + "/"})
			}
			if err != nil {
				return err
			}
			continue
		}
		if !e.Type().IsRegular() {
			continue
		}
		a := objstore.IterObjectAttributes{Name: name}
		if p.LastModified {
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // deleted since the folder was read
			}
			if err != nil {
				return err
			}
			a.SetLastModified(info.ModTime())
		}
		if err := f(a); err != nil {
			return err
		}
	}
	return nil
}

// readDir returns the entries of dir in the order of S3; a missing folder has none.
func (b *FS) readDir(dir string) ([]fs.DirEntry, error) {
	info, err := b.root.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := b.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := f.ReadDir(-1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, f.Close() // removed since it was opened
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	key := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(x, y fs.DirEntry) int { return strings.Compare(key(x), key(y)) })
	return entries, nil
}

// hasObject reports whether there is an object anywhere below dir: S3 knows no empty folders.
func (b *FS) hasObject(dir string) (bool, error) {
	entries, err := b.readDir(dir)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if e.Type().IsRegular() {
			return true, nil
		}
		if e.IsDir() {
			if some, err := b.hasObject(path.Join(dir, e.Name())); some || err != nil {
				return some, err
			}
		}
	}
	return false, nil
}
