package sigv4

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestVerifyingAHeaderAllocatesLittle(t *testing.T) {
	v := garageVerifier()
	r := signed("PUT", "http://s3.example/bucket/some/longer/key%20with%20escapes?partNumber=1&uploadId=abcdef", nil)
	ctx := t.Context()
	allocs := testing.AllocsPerRun(200, func() {
		if _, err := v.Verify(ctx, r, now); err != nil {
			t.Fatal(err)
		}
	})
	require.LessOrEqual(t, allocs, 16.0)
}

func BenchmarkVerifyHeader(b *testing.B) {
	v := garageVerifier()
	r := signed("PUT", "http://s3.example/bucket/some/longer/key?partNumber=1&uploadId=abcdef", nil)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(ctx, r, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyPresigned(b *testing.B) {
	v := garageVerifier()
	r := presigned(b, "GET", "http://s3.example/bucket/some/longer/key", time.Hour)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(ctx, r, now); err != nil {
			b.Fatal(err)
		}
	}
}
