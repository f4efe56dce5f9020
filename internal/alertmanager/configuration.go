package alertmanager

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/template"
	"github.com/thanos-io/objstore"
	"go.yaml.in/yaml/v3"

	"github.com/hune-io/hune/internal/fault"
)

// configuration is what one tenant's Alertmanager does: an alertmanager.yml and its templates.
type configuration struct {
	*config.Config
	source string // what it was made from, to see whether it changed
	files  map[string]string
	own    bool // set by the tenant
}

// quiet is the configuration where nobody gave one: alerts are grouped by name and sent to no one.
const quiet = `route:
  receiver: none
  group_by: [alertname]
receivers:
  - name: none
`

// templates returns the templates that notifications are written with: Alertmanager's own and those of
// the configuration.
func (c *configuration) templates(external *url.URL) (*template.Template, error) {
	var globs []string
	if !c.own {
		globs = c.Templates
	}
	t, err := template.FromGlobs(globs)
	if err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	for name, text := range c.files {
		if err := t.Parse(strings.NewReader(text)); err != nil {
			return nil, fmt.Errorf("template %s: %w", name, err)
		}
	}
	t.ExternalURL = external
	return t, nil
}

// loadFile reads the file of the section `alertmanager`; an empty name stands for quiet.
func loadFile(file string) (*configuration, error) {
	if file == "" {
		c, err := config.Load(quiet)
		return &configuration{Config: c, source: quiet}, err
	}
	c, err := config.LoadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	text, err := os.ReadFile(file) // c itself hides its secrets
	if err != nil {
		return nil, err
	}
	source := string(text)
	for _, glob := range c.Templates {
		// A changed template is a changed configuration.
		names, err := filepath.Glob(glob)
		if err != nil {
			return nil, fmt.Errorf("%s: templates: %q: %w", file, glob, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("%s: templates: %w", file, err)
			}
			source += "\n" + name + "\n" + string(text)
		}
	}
	conf := &configuration{Config: c, source: source}
	if _, err := conf.templates(nil); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return conf, nil
}

// TenantConfig is the configuration that a tenant sets for itself, in the form of Mimir's and Cortex's API.
type TenantConfig struct {
	TemplateFiles map[string]string `yaml:"template_files"`
	Config        string            `yaml:"alertmanager_config"`
}

// maxTenantConfig bounds a tenant's configuration with its templates, in bytes.
const maxTenantConfig = 1 << 20

// ErrNoConfig means that the tenant has set no configuration.
var ErrNoConfig = fault.Errorf(fault.NotFound, "the Alertmanager is not configured")

// parse checks a tenant's configuration. It may name no file of this machine.
func (t TenantConfig) parse() (*configuration, error) {
	if t.Config == "" {
		return nil, errors.New("alertmanager_config is empty")
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(t.Config), &doc); err != nil {
		return nil, err
	}
	if err := refuseFiles(&doc); err != nil {
		return nil, err
	}
	c, err := config.Load(t.Config)
	if err != nil {
		return nil, err
	}
	for name := range t.TemplateFiles {
		if name != path.Base(name) || name == "." || name == ".." || strings.ContainsRune(name, '\\') {
			return nil, fmt.Errorf("template %q: must be a plain file name", name)
		}
	}
	for _, name := range c.Templates {
		if _, ok := t.TemplateFiles[name]; !ok {
			return nil, fmt.Errorf("templates: %q is not among template_files", name)
		}
	}
	// Each template is parsed whether the configuration names it or not, as in Mimir.
	conf := &configuration{Config: c, files: t.TemplateFiles, own: true}
	source, err := yaml.Marshal(t)
	if err != nil {
		return nil, err
	}
	conf.source = string(source)
	_, err = conf.templates(nil)
	return conf, err
}

// refuseFiles reports a key that has this machine read a file: a tenant could be told any of them.
func refuseFiles(n *yaml.Node) error {
	if n.Kind == yaml.MappingNode {
		for k := 0; k+1 < len(n.Content); k += 2 {
			key := n.Content[k]
			if strings.HasSuffix(key.Value, "_file") || strings.HasSuffix(key.Value, "_files") || key.Value == "file_outputs" {
				return fmt.Errorf("line %d: %s: a tenant's configuration can't name files", key.Line, key.Value)
			}
		}
	}
	for _, c := range n.Content {
		if err := refuseFiles(c); err != nil {
			return err
		}
	}
	return nil
}

// Where a tenant's configuration and the copies of its state are:
//
//	TENANT/alertmanager/config.yaml
//	TENANT/alertmanager/state/MEMBER
func configObject(tenant string) string { return path.Join(tenant, "alertmanager", "config.yaml") }

func stateFolder(tenant string) string { return path.Join(tenant, "alertmanager", "state") + "/" }

// ReadConfig returns what a tenant set, or ErrNoConfig.
func (m *Alertmanager) ReadConfig(ctx context.Context, tenant string) (*TenantConfig, error) {
	data, err := m.read(ctx, configObject(tenant), 2*maxTenantConfig)
	if err != nil {
		return nil, err
	}
	if data == nil {
		return nil, ErrNoConfig
	}
	var t TenantConfig
	if err := yaml.Unmarshal(data, &t); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", configObject(tenant), err)
	}
	return &t, nil
}

// WriteConfig checks a tenant's configuration, keeps it in the bucket and puts it into force here. Other
// processes find it at their next poll.
func (m *Alertmanager) WriteConfig(ctx context.Context, tenant string, t TenantConfig) error {
	conf, err := t.parse()
	if err != nil {
		return fault.Invalidf("error validating Alertmanager config: %w", err)
	}
	data, err := yaml.Marshal(t)
	if err != nil {
		return err
	}
	if len(data) > maxTenantConfig {
		return fault.Errorf(fault.TooLarge, "Alertmanager configuration is too big: %d bytes, at most %d are allowed", len(data), maxTenantConfig)
	}
	if err := m.o.Bucket.Upload(ctx, configObject(tenant), bytes.NewReader(data)); err != nil {
		return fmt.Errorf("write %s: %w", configObject(tenant), err)
	}
	return m.use(ctx, tenant, conf)
}

// DeleteConfig removes a tenant's configuration; that of the file is in force again. It is no error if there is none.
func (m *Alertmanager) DeleteConfig(ctx context.Context, tenant string) error {
	name := configObject(tenant)
	if err := m.o.Bucket.Delete(ctx, name); err != nil && !m.o.Bucket.IsObjNotFoundErr(err) {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return m.use(ctx, tenant, m.fallback.Load())
}

// tenantConfig returns the configuration of a tenant: its own, or that of the file.
func (m *Alertmanager) tenantConfig(ctx context.Context, tenant string) (*configuration, error) {
	t, err := m.ReadConfig(ctx, tenant)
	if errors.Is(err, ErrNoConfig) {
		return m.fallback.Load(), nil
	}
	if err != nil {
		return nil, err
	}
	return t.parse()
}

// configured returns the tenants that have a configuration in the bucket.
func (m *Alertmanager) configured(ctx context.Context) ([]string, error) {
	var out []string
	err := m.o.Bucket.Iter(ctx, "", func(name string) error {
		id := strings.TrimSuffix(name, "/")
		if id == name { // an object, not a tenant's folder
			return nil
		}
		ok, err := m.o.Bucket.Exists(ctx, configObject(id))
		if ok {
			out = append(out, id)
		}
		return err
	})
	slices.Sort(out)
	return out, err
}

// read returns an object, or nil if there is none.
func (m *Alertmanager) read(ctx context.Context, name string, limit int64) ([]byte, error) {
	var reader objstore.BucketReader = m.o.Bucket
	if i, ok := m.o.Bucket.(objstore.InstrumentedBucketReader); ok {
		reader = i.ReaderWithExpectedErrs(m.o.Bucket.IsObjNotFoundErr)
	}
	rc, err := reader.Get(ctx, name)
	if err != nil {
		if m.o.Bucket.IsObjNotFoundErr(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	data, err := io.ReadAll(io.LimitReader(rc, limit+1))
	if err = errors.Join(err, rc.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("read %s: larger than %d bytes", name, limit)
	}
	return data, nil
}
