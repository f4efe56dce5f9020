package scraper

// Service discovery, one by one: all of Prometheus's at once would double the size of the program. Static
// targets are built in.
import (
	_ "github.com/prometheus/prometheus/discovery/dns"
	_ "github.com/prometheus/prometheus/discovery/file"
	_ "github.com/prometheus/prometheus/discovery/http"
)
