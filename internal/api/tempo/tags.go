package tempo

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/traces"
	"github.com/hune-io/hune/internal/traces/traceql"
)

var scopes = []string{"resource", "span", "intrinsic", "event", "link", "instrumentation"}

// tagsQuery reads scope, q, start and end. A q that can't be used filters nothing: it is what a
// user has typed so far.
func (a *API) tagsQuery(v url.Values, kind traces.QueryKind) (*traces.Query, error) {
	t, err := tagsRange(v)
	if err != nil {
		return nil, err
	}
	q := &traces.Query{Kind: kind, Start: t.start, End: t.end, Expr: traceql.LenientFilter(v.Get("q"))}
	switch scope := v.Get("scope"); {
	case scope == "", scope == "none":
	case slices.Contains(scopes, scope):
		q.Scope = traces.TagScope(scope)
	default:
		return nil, fault.Invalidf("invalid scope: %s", scope)
	}
	if n, err := strconv.Atoi(v.Get("limit")); err == nil && n > 0 {
		q.Limit = n
	}
	return q, nil
}

// tagsV1 lists keys without their scopes; intrinsics only if they are asked for.
func (a *API) tagsV1(w http.ResponseWriter, r *http.Request) error {
	names, res, err := a.tagNames(r.Context(), r.URL.Query())
	if err != nil {
		return err
	}
	o := open(nil)
	o.field("tagNames")
	o.b = appendStrings(o.b, names)
	appendSearchMetrics(&o, &res.Inspected)
	return writeJSON(w, o.close())
}

func (a *API) tagNames(ctx context.Context, v url.Values) ([]string, *traces.Result, error) {
	q, err := a.tagsQuery(v, traces.Tags)
	if err != nil {
		return nil, nil, err
	}
	res, err := a.run(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	var names []string
	for scope, keys := range res.Tags {
		if scope != "intrinsic" || q.Scope == "intrinsic" {
			names = append(names, keys...)
		}
	}
	sort.Strings(names)
	return firstOf(slices.Compact(names), q.Limit), res, nil
}

// firstOf returns the first n of a list, all for 0.
func firstOf(list []string, n int) []string {
	if n > 0 && len(list) > n {
		return list[:n]
	}
	return list
}

func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

func (a *API) tagsV2(w http.ResponseWriter, r *http.Request) error {
	res, err := a.tagScopes(r.Context(), r.URL.Query())
	if err != nil {
		return err
	}
	o := open(nil)
	o.field("scopes")
	o.b = append(o.b, '[')
	first := true
	for _, scope := range scopes {
		keys := res.Tags[traces.TagScope(scope)]
		if len(keys) == 0 {
			continue
		}
		if !first {
			o.b = append(o.b, ',')
		}
		first = false
		s := open(o.b)
		s.text("name", scope)
		s.field("tags")
		s.b = appendStrings(s.b, keys)
		o.b = s.close()
	}
	o.b = append(o.b, ']')
	appendSearchMetrics(&o, &res.Inspected)
	return writeJSON(w, o.close())
}

// tagScopes answers the keys by scope, as many of each as limit says.
func (a *API) tagScopes(ctx context.Context, v url.Values) (*traces.Result, error) {
	q, err := a.tagsQuery(v, traces.Tags)
	if err != nil {
		return nil, err
	}
	res, err := a.run(ctx, q)
	if err != nil || q.Limit == 0 {
		return res, err
	}
	cut := *res // others may have the same answer
	cut.Tags = make(map[traces.TagScope][]string, len(res.Tags))
	for scope, keys := range res.Tags {
		cut.Tags[scope] = firstOf(keys, q.Limit)
	}
	return &cut, nil
}

func (a *API) tagValues(ctx context.Context, v url.Values, tag string, v1 bool) (*traces.Result, error) {
	q, err := a.tagsQuery(v, traces.TagValues)
	if err != nil {
		return nil, err
	}
	q.Tag, q.TagV1, q.Scope = tag, v1, ""
	if v1 {
		q.Expr = ""
	} else if _, err := traceql.ParseAttribute(q.Tag); err != nil {
		return nil, prefixed("please provide a valid tagName: ", err)
	}
	return a.run(ctx, q)
}

// tagValuesV1 lists values as text.
func (a *API) tagValuesV1(w http.ResponseWriter, r *http.Request) error {
	res, err := a.tagValues(r.Context(), r.URL.Query(), r.PathValue("tag"), true)
	if err != nil {
		return err
	}
	o := open(nil)
	o.field("tagValues")
	o.b = appendStrings(o.b, valueTexts(res))
	appendSearchMetrics(&o, &res.Inspected)
	return writeJSON(w, o.close())
}

// valueTexts returns the distinct values as text.
func valueTexts(res *traces.Result) []string {
	var list []string
	for i := range res.Values {
		_, text := typedValue(&res.Values[i])
		list = append(list, text)
	}
	sort.Strings(list)
	return slices.Compact(list)
}

// tagValuesV2 lists values with their types.
func (a *API) tagValuesV2(w http.ResponseWriter, r *http.Request) error {
	res, err := a.tagValues(r.Context(), r.URL.Query(), r.PathValue("tag"), false)
	if err != nil {
		return err
	}
	o := open(nil)
	o.field("tagValues")
	o.b = append(o.b, '[')
	for i := range res.Values {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		typ, text := typedValue(&res.Values[i])
		v := open(o.b)
		v.text("type", typ)
		v.text("value", text)
		o.b = v.close()
	}
	o.b = append(o.b, ']')
	appendSearchMetrics(&o, &res.Inspected)
	return writeJSON(w, o.close())
}

// typedValue names the type of a value as the API does and prints it as TraceQL would read it back.
func typedValue(v *traces.Attribute) (typ, text string) {
	switch v.Type {
	case traces.TypeInt:
		return "int", strconv.FormatInt(v.Int, 10)
	case traces.TypeFloat:
		return "float", formatFloat(v.Float)
	case traces.TypeBool:
		return "bool", strconv.FormatBool(v.Int != 0)
	}
	if v.Key == "keyword" || v.Key == "duration" {
		return v.Key, v.Str
	}
	return "string", v.Str
}

// formatFloat prints a float with a point, so that it is one in TraceQL too.
func formatFloat(f float64) string {
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !slices.Contains([]byte(s), '.') {
		s += ".0"
	}
	return s
}
