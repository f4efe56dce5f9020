package traces

// AppendOTLPAttributes appends attrs as OTLP KeyValue messages, each in field num of the message
// under construction.
func AppendOTLPAttributes(dst []byte, num int, attrs []Attribute) []byte {
	return appendAttributes(dst, num, attrs)
}
