package metrics

import (
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// labelQuestion asks for names of labels, or for the values of one, where samples are deleted. Labels that only
// deleted samples have are left out.
type labelQuestion struct {
	gone     *Deletions
	matchers []*labels.Matcher
	// all answers as if nothing was deleted.
	all func(ms []*labels.Matcher) ([]string, error)
	// left passes on the labels of at most limit series (0: all) that have samples which are not deleted.
	left func(ms []*labels.Matcher, limit int, yield func(labels.Labels) bool) error
}

// names returns the names of labels, in no order.
func (q labelQuestion) names() ([]string, error) {
	return q.answer(func(suspects map[string]bool) error {
		for name := range suspects {
			m := labels.MustNewMatcher(labels.MatchNotEqual, name, "")
			if err := q.left(q.with(m), 1, func(labels.Labels) bool {
				delete(suspects, name)
				return false
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// values returns the values of a label, in no order.
func (q labelQuestion) values(name string) ([]string, error) {
	return q.answer(func(suspects map[string]bool) error {
		quoted := make([]string, 0, len(suspects))
		for v := range suspects {
			quoted = append(quoted, regexp.QuoteMeta(v))
		}
		m, err := labels.NewMatcher(labels.MatchRegexp, name, strings.Join(quoted, "|"))
		if err != nil {
			return err
		}
		return q.left(q.with(m), 0, func(ls labels.Labels) bool {
			delete(suspects, ls.Get(name))
			return len(suspects) > 0
		})
	})
}

// answer takes out of everything what series with deleted samples have, unless acquit takes it off the suspects.
func (q labelQuestion) answer(acquit func(suspects map[string]bool) error) ([]string, error) {
	found, err := q.all(q.with())
	if err != nil || q.gone == nil || len(found) == 0 {
		return found, err
	}
	suspects := map[string]bool{}
	for i := range q.gone.list {
		touched, err := q.all(q.with(q.gone.list[i].Matchers...))
		if err != nil {
			return nil, err
		}
		for _, s := range touched {
			suspects[s] = true
		}
	}
	if len(suspects) == 0 {
		return found, nil
	}
	if err := acquit(suspects); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, func(s string) bool { return suspects[s] }), nil
}

// with returns the matchers of the question and others, in a slice that may be sorted.
func (q labelQuestion) with(ms ...*labels.Matcher) []*labels.Matcher {
	return slices.Concat(q.matchers, ms)
}
