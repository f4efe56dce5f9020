package traceql

var metricsFns = set("rate", "count_over_time", "min_over_time", "max_over_time", "avg_over_time",
	"sum_over_time", "quantile_over_time", "histogram_over_time", "compare")

// defaultCompareTop is how many values per attribute compare() keeps when the query doesn't say.
const defaultCompareTop = 10

// metrics reads the metrics function at the current token and what follows it, into q.
func (p *parser) metrics(q *Query) error {
	m := &Metrics{Fn: p.tok.text}
	q.Metrics = m
	if err := p.advance(); err != nil {
		return err
	}
	if err := p.expectOp("("); err != nil {
		return err
	}
	var err error
	switch m.Fn {
	case "rate", "count_over_time":
		err = p.expectOp(")")
	case "compare":
		err = p.compareArgs(m)
	case "quantile_over_time":
		err = p.quantileArgs(m)
	default:
		if m.Attr, err = p.attribute(); err == nil {
			err = p.expectOp(")")
		}
	}
	if err != nil {
		return err
	}
	if p.tok.isWord("by") && m.Fn != "compare" {
		if err := p.metricsBy(m); err != nil {
			return err
		}
	}
	return p.secondStages(q)
}

func (p *parser) metricsBy(m *Metrics) error {
	if err := p.advance(); err != nil {
		return err
	}
	if err := p.expectOp("("); err != nil {
		return err
	}
	for {
		a, err := p.attribute()
		if err != nil {
			return err
		}
		m.By = append(m.By, a)
		if !p.tok.isOp(",") {
			return p.expectOp(")", ",")
		}
		if err := p.advance(); err != nil {
			return err
		}
	}
}

func (p *parser) quantileArgs(m *Metrics) (err error) {
	if m.Attr, err = p.attribute(); err != nil {
		return err
	}
	if !p.tok.isOp(",") {
		return p.unexpected(",")
	}
	for p.tok.isOp(",") {
		if err := p.advance(); err != nil {
			return err
		}
		switch p.tok.kind {
		case tokInt:
			m.Quantiles = append(m.Quantiles, float64(p.tok.num))
		case tokFloat:
			m.Quantiles = append(m.Quantiles, p.tok.flt)
		default:
			return p.unexpected("INTEGER", "FLOAT")
		}
		if err := p.advance(); err != nil {
			return err
		}
	}
	return p.expectOp(")", ",")
}

// compareArgs = filter [ "," top [ "," start "," end ] ] ")"
func (p *parser) compareArgs(m *Metrics) (err error) {
	m.Top = defaultCompareTop
	if m.Selection, err = p.filter(); err != nil {
		return err
	}
	var args []int64
	for p.tok.isOp(",") && len(args) < 3 {
		if err := p.advance(); err != nil {
			return err
		}
		if p.tok.kind != tokInt {
			return p.unexpected("INTEGER")
		}
		args = append(args, p.tok.num)
		if err := p.advance(); err != nil {
			return err
		}
	}
	if len(args) == 2 {
		return p.unexpected(",")
	}
	if len(args) > 0 {
		m.Top = int(args[0])
	}
	if len(args) > 2 {
		m.Start, m.End = args[1], args[2]
	}
	return p.expectOp(")", ",")
}

// secondStages reads comparisons and "| topk(n)" after a metrics function.
func (p *parser) secondStages(q *Query) error {
	for {
		switch {
		case isComparison(p.tok) && p.tok.text != "=~" && p.tok.text != "!~":
			s := SecondStage{Op: p.tok.text}
			if err := p.advance(); err != nil {
				return err
			}
			switch {
			case p.tok.kind == tokInt, p.tok.kind == tokFloat, p.tok.kind == tokDuration, p.tok.isOp("-"):
			default:
				return p.unexpected("INTEGER", "FLOAT", "DURATION", "-")
			}
			var err error
			if s.Value, err = p.signedLiteral(); err != nil {
				return err
			}
			q.Second = append(q.Second, s)
		case p.tok.isOp("|"):
			if err := p.advance(); err != nil {
				return err
			}
			if !p.tok.isWord("topk") && !p.tok.isWord("bottomk") {
				return p.unexpected("topk", "bottomk")
			}
			s := SecondStage{Op: p.tok.text}
			if err := p.topN(&s); err != nil {
				return err
			}
			q.Second = append(q.Second, s)
		default:
			return nil
		}
	}
}

func (p *parser) topN(s *SecondStage) error {
	if err := p.advance(); err != nil {
		return err
	}
	if err := p.expectOp("("); err != nil {
		return err
	}
	if p.tok.kind != tokInt {
		return p.unexpected("INTEGER")
	}
	s.N = int(p.tok.num)
	if err := p.advance(); err != nil {
		return err
	}
	return p.expectOp(")")
}
