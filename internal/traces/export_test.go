package traces

// SealSome seals what has been quiet for longest, whatever there is.
func (h *Head) SealSome() error { return h.sealSome() }
