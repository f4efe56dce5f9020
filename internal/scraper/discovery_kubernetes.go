//go:build kubernetes

package scraper

import _ "github.com/prometheus/prometheus/discovery/kubernetes"
