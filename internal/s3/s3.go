// Package s3 is the role `s3`: an S3 endpoint over a local folder, for one machine and for tests.
//
// It is versitygw, embedded: path-style and signature V4, multipart uploads, tags, policies, one
// account. Buckets are folders of the root, objects are files in them that any other program can
// read. A success means that the object is synced. Off unless `listen` is set.
//
// Not there: S3 Select, versioning. Copies read the object and write it anew.
package s3

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/grafana/dskit/services"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/middlewares"
)

// Config are the user's settings, the section `s3` of the configuration.
type Config struct {
	// Address of the S3 endpoint, host:port. Default "": the role is off.
	Listen string `yaml:"listen"`
	// Folder that holds the buckets. Default "": `s3` in the data folder.
	Root string `yaml:"root"`
	// Name of the one account; needed where listen is set.
	AccessKey string `yaml:"access_key"`
	// Secret of the account, at least 8 characters; needed where listen is set.
	SecretKey string `yaml:"secret_key"`
	// Region that clients must sign for. Default us-east-1.
	Region string `yaml:"region"`
	// Buckets to create at start if they don't exist. Default none.
	Buckets []string `yaml:"buckets"`
}

// DefaultConfig returns the defaults: off.
func DefaultConfig() Config { return Config{Region: "us-east-1"} }

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// Validate reports every fault of c.
func (c Config) Validate() error {
	if c.Listen == "" {
		return nil
	}
	var errs []error
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, fmt.Errorf("listen: %w", err))
	}
	if c.AccessKey == "" {
		errs = append(errs, errors.New("access_key: missing"))
	}
	if len(c.SecretKey) < 8 {
		errs = append(errs, errors.New("secret_key: needs at least 8 characters"))
	}
	if c.Region == "" {
		errs = append(errs, errors.New("region: missing"))
	}
	for _, b := range c.Buckets {
		if !bucketName.MatchString(b) {
			errs = append(errs, fmt.Errorf("buckets: %q is not a valid bucket name", b))
		}
	}
	return errors.Join(errs...)
}

// The gateway answers 503 beyond these.
const (
	maxConnections = 4096
	maxRequests    = 1024
	maxParts       = 10_000 // as in S3
)

// Server is the role. It serves while it is running.
type Server struct {
	services.Service

	cfg    Config
	root   string
	logger *slog.Logger

	sidecar bool // keep metadata beside the root even if the filesystem could hold it

	be     *rooted
	srv    *s3api.S3ApiServer
	addr   string
	served chan error // what serving ended with
}

// New returns the role; dataDir is where the default root lives. With an empty Listen it does nothing
// while it runs.
func New(cfg Config, dataDir string, logger *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	if cfg.Root == "" {
		cfg.Root = filepath.Join(dataDir, "s3")
	}
	root, err := filepath.Abs(cfg.Root)
	if err != nil {
		return nil, fmt.Errorf("s3: root: %w", err)
	}
	s := &Server{cfg: cfg, root: root, logger: logger, served: make(chan error, 1)}
	if cfg.Listen == "" {
		s.Service = services.NewIdleService(nil, nil)
		return s, nil
	}
	s.Service = services.NewBasicService(s.start, s.run, s.stop)
	return s, nil
}

// Addr returns the address that is listened on, valid while the role is running.
func (s *Server) Addr() string { return s.addr }

func (s *Server) start(ctx context.Context) error {
	if err := os.MkdirAll(s.root, 0o777); err != nil {
		return fmt.Errorf("s3: %w", err)
	}
	be, err := newRooted(s.root, s.sidecar || !hasAttributes(s.root))
	if err != nil {
		return fmt.Errorf("s3: open %s: %w", s.root, err)
	}
	s.be = be
	if err := s.createBuckets(ctx); err != nil {
		return errors.Join(err, s.stop(nil))
	}
	if err := s.serve(); err != nil {
		return errors.Join(err, s.stop(nil))
	}
	s.logger.Info("S3 endpoint is listening", "addr", s.addr, "root", s.root)
	return nil
}

// createBuckets makes the configured buckets, and buckets of folders that were put there by hand or
// by a process that died in between.
func (s *Server) createBuckets(ctx context.Context) error {
	acl, err := json.Marshal(auth.ACL{Owner: s.cfg.AccessKey})
	if err != nil {
		return err
	}
	for _, b := range s.cfg.Buckets {
		if err := s.createBucket(ctx, b, acl); err != nil {
			return fmt.Errorf("s3: create bucket %s: %w", b, err)
		}
	}
	return nil
}

func (s *Server) createBucket(ctx context.Context, name string, acl []byte) error {
	if _, err := os.Stat(s.be.abs(name)); errors.Is(err, os.ErrNotExist) {
		return s.be.CreateBucket(ctx, &s3.CreateBucketInput{
			Bucket: &name, CreateBucketConfiguration: &types.CreateBucketConfiguration{},
			ObjectOwnership: types.ObjectOwnershipBucketOwnerEnforced,
		}, acl)
	}
	if owner, err := s.be.owner(ctx, name); err == nil && owner != "" {
		return nil
	}
	return s.be.PutBucketAcl(ctx, name, acl)
}

func (s *Server) account() auth.Account {
	return auth.Account{Access: s.cfg.AccessKey, Secret: s.cfg.SecretKey, Role: auth.RoleAdmin}
}

// serve starts the gateway and returns when it listens. That takes no time, so a stop meanwhile waits:
// a gateway that does not listen yet can't be shut down.
func (s *Server) serve() error {
	// The gateway makes its own listener. Ours finds out what port 0 becomes, and reports an address
	// that can't be had in plain words.
	probe, err := net.Listen("tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("s3: %w", err)
	}
	s.addr = probe.Addr().String()
	if err := probe.Close(); err != nil {
		return fmt.Errorf("s3: %w", err)
	}
	listening := make(chan struct{})
	s.srv, err = s3api.New(s.be, middlewares.RootUserConfig{Access: s.cfg.AccessKey, Secret: s.cfg.SecretKey},
		s.cfg.Region, auth.NewIAMServiceSingle(s.account()), nil, nil, nil, nil,
		s3api.WithQuiet(), s3api.WithKeepAlive(), s3api.WithMpMaxParts(maxParts),
		s3api.WithConcurrencyLimiter(maxConnections, maxRequests),
		s3api.WithOnListen(func() { close(listening) }))
	if err != nil {
		return fmt.Errorf("s3: %w", err)
	}
	go func() { s.served <- s.srv.ServeMultiPort([]string{s.addr}) }()
	select {
	case <-listening:
		return nil
	case err := <-s.served:
		s.srv = nil
		return fmt.Errorf("s3: listen on %s: %w", s.cfg.Listen, err)
	}
}

func (s *Server) run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.served:
		s.srv = nil
		return fmt.Errorf("s3: serve: %w", err)
	}
}

// shutDown ends serving. The gateway says that it listens a moment before it can be shut down, and
// ignores what is asked in between.
func (s *Server) shutDown() error {
	for {
		err := s.srv.ShutDown()
		select {
		case <-s.served:
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *Server) stop(error) error {
	var err error
	if s.srv != nil {
		err = s.shutDown()
	}
	if s.be != nil {
		s.be.Shutdown()
	}
	return err
}
