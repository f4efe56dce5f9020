package storeapi

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/oklog/ulid/v2"
	"github.com/thanos-io/thanos/pkg/block"
	"github.com/thanos-io/thanos/pkg/store/storepb"

	"github.com/hune-io/hune/internal/metrics"
)

// BlocksHeader is there when a store of the same cluster asks. It reads what it owns itself, and wants of this one the
// blocks that the request names, read as they are: without the external labels that Thanos expects.
const BlocksHeader = "hune-blocks-only"

// The names of matchers in the hints of such a request. That of the blocks is Thanos's; it is a regular expression of
// ULIDs. The others are Hune's, the last two of Select.Shard.
const (
	matchBlocks   = block.BlockIDLabel
	matchDeletion = "__deletion_id"
	matchShard    = "__shard"
	matchWithout  = "__shard_without"
)

// FromBlocks says in hints which blocks are wanted, and of what all must know.
func FromBlocks(s metrics.BlockSelect) []storepb.LabelMatcher {
	ids := make([]string, len(s.Blocks))
	for i, id := range s.Blocks {
		ids[i] = id.String()
	}
	out := []storepb.LabelMatcher{{Type: storepb.LabelMatcher_RE, Name: matchBlocks, Value: strings.Join(ids, "|")}}
	for _, id := range s.Deletions {
		out = append(out, storepb.LabelMatcher{Name: matchDeletion, Value: id})
	}
	if s.Shard.Count > 1 {
		out = append(out, storepb.LabelMatcher{Name: matchShard, Value: fmt.Sprintf("%d/%d", s.Shard.Index, s.Shard.Count)})
		for _, name := range s.Shard.Without {
			out = append(out, storepb.LabelMatcher{Name: matchWithout, Value: name})
		}
	}
	return out
}

// ToBlocks reads what FromBlocks has written into s.
func ToBlocks(ms []storepb.LabelMatcher, s *metrics.BlockSelect) error {
	for _, m := range ms {
		switch m.Name {
		case matchBlocks:
			for text := range strings.SplitSeq(m.Value, "|") {
				id, err := ulid.ParseStrict(text)
				if err != nil {
					return fmt.Errorf("hint %s: %q: %w", m.Name, text, err)
				}
				s.Blocks = append(s.Blocks, id)
			}
		case matchDeletion:
			s.Deletions = append(s.Deletions, m.Value)
		case matchShard:
			index, count, _ := strings.Cut(m.Value, "/")
			i, err := strconv.ParseUint(index, 10, 31)
			n, err2 := strconv.ParseUint(count, 10, 31)
			if err != nil || err2 != nil || i >= n {
				return fmt.Errorf("hint %s: %q is not a share such as 0/2", m.Name, m.Value)
			}
			s.Shard.Index, s.Shard.Count = int(i), int(n)
		case matchWithout:
			s.Shard.Without = append(s.Shard.Without, m.Value)
		default:
			return fmt.Errorf("hint %s is unknown", m.Name)
		}
	}
	return nil
}
