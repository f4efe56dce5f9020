package traceql

import "math"

// arithmetic calculates l op r, both numbers.
func arithmetic(op string, l, r Value) (Value, error) {
	if l.Kind == KindFloat || r.Kind == KindFloat {
		f := floatArithmetic(op, l.number(), r.number())
		if l.Kind == KindDuration || r.Kind == KindDuration {
			return durationValue(toInt(f)), nil
		}
		return floatValue(f), nil
	}
	if op == "/" && l.Kind == KindDuration && r.Kind == KindDuration {
		return floatValue(float64(l.n) / float64(r.n)), nil // a ratio
	}
	n, err := intArithmetic(op, l.n, r.n)
	if err != nil {
		return Value{}, err
	}
	if l.Kind == KindDuration || r.Kind == KindDuration {
		return durationValue(n), nil
	}
	return intValue(n), nil
}

func floatArithmetic(op string, l, r float64) float64 {
	switch op {
	case "+":
		return l + r
	case "-":
		return l - r
	case "*":
		return l * r
	case "/":
		return l / r
	case "%":
		return math.Mod(l, r)
	}
	return math.Pow(l, r)
}

func intArithmetic(op string, l, r int64) (int64, error) {
	switch op {
	case "+":
		return l + r, nil
	case "-":
		return l - r, nil
	case "*":
		return l * r, nil
	case "/", "%":
		if r == 0 {
			if op == "%" {
				return 0, errModuloByZero
			}
			return 0, errDivisionByZero
		}
		if r == -1 { // the smallest integer has no positive twin; hardware traps on it
			if op == "%" {
				return 0, nil
			}
			return -l, nil
		}
		if op == "%" {
			return l % r, nil
		}
		return l / r, nil
	}
	return intPower(l, r), nil
}

// intPower is base to the exponent by squaring; it wraps like other integer arithmetic. A negative
// exponent leaves the integers and truncates to zero, except for 1 and -1.
func intPower(base, exp int64) int64 {
	if exp < 0 {
		switch base {
		case 1:
			return 1
		case -1:
			if exp%2 == 0 {
				return 1
			}
			return -1
		}
		return 0
	}
	result := int64(1)
	for ; exp > 0; exp >>= 1 {
		if exp&1 == 1 {
			result *= base
		}
		base *= base
	}
	return result
}

// toInt converts without undefined results: what doesn't fit goes to the nearest end, NaN to zero.
func toInt(f float64) int64 {
	switch {
	case f != f:
		return 0
	case f >= math.MaxInt64:
		return math.MaxInt64
	case f <= math.MinInt64:
		return math.MinInt64
	}
	return int64(f)
}
