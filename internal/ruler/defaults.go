package ruler

import (
	_ "embed"
	"fmt"
	"time"

	"github.com/hune-io/hune/internal/rules"
)

// defaultRules are rules about Hune and its host. Each alert's page is in docs/runbooks.
//
//go:embed defaults.yaml
var defaultRules []byte

// defaultsFile is the file that the default rules are shown under.
const defaultsFile = "hune/defaults.yaml"

// addDefaults adds the default rules, which a test has shown to be right.
func (gs groups) addDefaults(tenant string, interval time.Duration) {
	f, faults := rules.DecodeFile(defaultRules, Check)
	if len(faults) > 0 {
		panic(fmt.Sprintf("default rules: %v", faults))
	}
	for _, g := range f.Groups {
		gs.add(tenant, defaultsFile, g, interval)
	}
}
