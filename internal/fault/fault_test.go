package fault

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestClasses(t *testing.T) {
	cause := errors.New("cause")
	for _, c := range []struct {
		err       error
		class     Class
		status    int
		permanent bool
	}{
		{cause, Internal, 500, false},
		{New(Invalid, cause), Invalid, 400, true},
		{fmt.Errorf("while doing: %w", Errorf(TooLarge, "big: %w", cause)), TooLarge, 413, true},
		{&Error{Class: RateLimited, RetryAfter: time.Second, Err: cause}, RateLimited, 429, false},
		{Errorf(Unavailable, "full"), Unavailable, 503, false},
		{Errorf(NotYet, "x is not supported yet"), NotYet, 501, true},
		{fmt.Errorf("query: %w", context.Canceled), Canceled, 499, false},
		{context.DeadlineExceeded, Timeout, 504, false},
	} {
		require.Equal(t, c.class, ClassOf(c.err), c.err)
		require.Equal(t, c.status, Status(c.err), c.err)
		require.Equal(t, c.permanent, Permanent(c.err), c.err)
	}
	require.ErrorIs(t, New(Invalid, cause), cause)
	require.NoError(t, New(Invalid, nil))
	require.Equal(t, time.Second, RetryAfter(fmt.Errorf("push: %w", &Error{RetryAfter: time.Second, Err: cause})))
	require.Zero(t, RetryAfter(cause))
}
