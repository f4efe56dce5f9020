package ruler

import (
	_ "embed"
	"fmt"
	"sync"
	"time"

	"github.com/hune-io/hune/internal/rules"
)

// defaultRules are rules about Hune and its host. Each alert's page is in docs/runbooks.
//
//go:embed defaults.yaml
var defaultRules []byte

// defaultsFile is the file that the default rules are shown under.
const defaultsFile = "hune/defaults.yaml"

// defaultGroups are the default rules, which a test has shown to be right.
var defaultGroups = sync.OnceValue(func() []rules.Group {
	f, faults := rules.DecodeFile(defaultRules, Check)
	if len(faults) > 0 {
		panic(fmt.Sprintf("default rules: %v", faults))
	}
	return f.Groups
})

// addDefaults adds the default rules.
func (gs groups) addDefaults(tenant string, interval time.Duration) {
	for _, g := range defaultGroups() {
		gs.add(tenant, defaultsFile, g, interval)
	}
}
