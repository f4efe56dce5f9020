package collector

import (
	"context"
	"fmt"

	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/otelcol"
)

// load reads a configuration with its ${env:…} references and checks it. Errors are for the user.
func load(ctx context.Context, text string, f otelcol.Factories) (*otelcol.Config, error) {
	p, err := otelcol.NewConfigProvider(otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
		URIs: []string{scheme + ":"},
		ProviderFactories: []confmap.ProviderFactory{
			confmap.NewProviderFactory(func(confmap.ProviderSettings) confmap.Provider { return memory(text) }),
			envprovider.NewFactory(),
		},
		DefaultScheme: "env",
	}})
	if err != nil {
		return nil, err
	}
	cfg, err := p.Get(ctx, f)
	if err == nil {
		err = confmap.Validate(cfg)
	}
	if serr := p.Shutdown(ctx); err == nil {
		err = serr
	}
	if err != nil {
		return nil, fmt.Errorf("config: %w", plain(err))
	}
	return cfg, nil
}

const scheme = "hune"

// memory is a confmap.Provider of a text. It never changes.
type memory string

func (m memory) Retrieve(context.Context, string, confmap.WatcherFunc) (*confmap.Retrieved, error) {
	return confmap.NewRetrievedFromYAML([]byte(m))
}
func (memory) Scheme() string                 { return scheme }
func (memory) Shutdown(context.Context) error { return nil }
