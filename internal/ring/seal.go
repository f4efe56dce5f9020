package ring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/grafana/dskit/kv/codec"
)

// sealed encrypts and authenticates what another codec writes, by AES-256-GCM:
//
//	nonce 12 bytes │ sealed │ tag 16 bytes
//
// An old message that is sent again does no harm: of two states of a member, and of two elections, the newer counts.
type sealed struct {
	codec.Codec
	aead cipher.AEAD
}

// seal returns inner itself where there is no secret. What is sealed for one purpose can't be passed off as of another.
func seal(inner codec.Codec, secret, purpose string) (codec.Codec, error) {
	if secret == "" {
		return inner, nil
	}
	b, err := aes.NewCipher(derive(secret, purpose))
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(b)
	return sealed{inner, aead}, err
}

// derive makes a key for one purpose of a secret.
func derive(secret, purpose string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(purpose))
	return h.Sum(nil)
}

// label is what marks each message of a cluster: members drop those with another.
func label(name, secret string) string {
	if secret == "" {
		return name
	}
	return name + "/" + hex.EncodeToString(derive(secret, "hune label")[:8])
}

// Encode implements codec.Codec.
func (s sealed) Encode(v any) ([]byte, error) {
	plain, err := s.Codec.Encode(v)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return s.aead.Seal(nonce, nonce, plain, nil), nil
}

var errSeal = errors.New("the message is sealed with another secret, or with none")

// Decode implements codec.Codec.
func (s sealed) Decode(data []byte) (any, error) {
	n := s.aead.NonceSize()
	if len(data) < n {
		return nil, fmt.Errorf("%w: %d bytes", errSeal, len(data))
	}
	plain, err := s.aead.Open(nil, data[:n], data[n:], nil)
	if err != nil {
		return nil, errSeal
	}
	return s.Codec.Decode(plain)
}
