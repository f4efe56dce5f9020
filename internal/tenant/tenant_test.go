package tenant

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestValidate(t *testing.T) {
	for _, id := range []string{"a", Anonymous, "team-1", "A.b_c*d'(e)!", strings.Repeat("x", 150)} {
		require.NoError(t, Validate(id), id)
	}
	for _, id := range []string{"", ".", "..", "a/b", "a\\b", "a b", "é", "a\x00", "a|b", strings.Repeat("x", 151)} {
		require.Error(t, Validate(id), id)
	}
	require.ErrorIs(t, Validate(""), ErrMissing)
}

func TestContext(t *testing.T) {
	_, err := FromContext(context.Background())
	require.ErrorIs(t, err, ErrMissing)
	id, err := FromContext(NewContext(context.Background(), "team"))
	require.NoError(t, err)
	require.Equal(t, "team", id)
}
