package s3err

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestACodeIsAnErrorFoundThroughWrapping(t *testing.T) {
	err := fmt.Errorf("get object: %w", NoSuchKey)
	require.ErrorIs(t, err, NoSuchKey)
	require.NotErrorIs(t, err, NoSuchBucket)

	e, ok := From(err)
	require.True(t, ok)
	require.Equal(t, NoSuchKey, e.Code)
	require.Equal(t, "The specified key does not exist.", e.Message)
	require.Equal(t, http.StatusNotFound, e.Status())
}

func TestAnErrorKeepsItsParticularsAndItsCause(t *testing.T) {
	err := fmt.Errorf("verify: %w", AuthorizationHeaderMalformed.Msg("the region %q is wrong", "x").With("Region", "garage").By(io.EOF))
	require.ErrorIs(t, err, AuthorizationHeaderMalformed)
	require.ErrorIs(t, err, io.EOF)

	e, ok := From(err)
	require.True(t, ok)
	require.Equal(t, []Field{{"Region", "garage"}}, e.Fields)
	require.Equal(t, `the region "x" is wrong`, e.Message)
	require.Equal(t, 400, e.Status())
}

func TestOtherErrorsAreNotS3Errors(t *testing.T) {
	_, ok := From(errors.New("disk on fire"))
	require.False(t, ok)
	_, ok = From(nil)
	require.False(t, ok)
}

func TestAMessageWithoutArgumentsIsTakenLiterally(t *testing.T) {
	require.Equal(t, "100%", InvalidArgument.Msg("100%").Message)
}

func TestEveryCodeHasAnErrorStatusAndAMessage(t *testing.T) {
	for c := range table {
		require.True(t, c.Known())
		require.GreaterOrEqual(t, c.Status(), 300, c)
		require.NotEmpty(t, c.Message(), c)
	}
	require.Equal(t, 500, Code("Unheard").Status())
}
