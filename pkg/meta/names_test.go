package meta

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
)

func TestBucketNamesFollowS3sRules(t *testing.T) {
	for _, name := range []string{"abc", "a-b.c", "a.-b", "a--b", "1.2.3", "my-bucket-2026", strings.Repeat("a", 63), "192.168.1", "1.2.3.x4"} {
		require.NoError(t, CheckBucketName(name), name)
	}
	for name, problem := range map[string]string{
		"": "3 to 63", "ab": "3 to 63", strings.Repeat("a", 64): "3 to 63",
		"Abc": "only lower-case", "a_b_c": "only lower-case", "grüße": "only lower-case", "a b c": "only lower-case",
		"-abc": "begins and ends", "abc-": "begins and ends", ".abc": "begins and ends", "abc.": "begins and ends",
		"a..b": "two dots", "192.168.1.2": "IP address", "999.1.1.1": "IP address",
		"xn--abc": "xn--", "a-s3alias": "-s3alias",
	} {
		err := CheckBucketName(name)
		require.True(t, errors.IsEntity(err, errors.Invalid, errors.Bucket), name)
		require.ErrorContains(t, err, problem, name)
	}
}
