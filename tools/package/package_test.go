package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDebianOrdersVersionsAsTheyFollowEachOther(t *testing.T) {
	date := time.Unix(1_800_000_000, 0).UTC()
	const commit = "611075b0ce24f1f0"
	for version, want := range map[string]string{
		"v1.2.3":                     "1.2.3",
		"1.2.3":                      "1.2.3",
		"v1.2.3-rc1":                 "1.2.3~rc1",
		"v1.2.3-4-g611075b":          "1.2.3+4.g611075b",
		"v1.2.3-modified":            "1.2.3+modified",
		"v1.2.3-4-g611075b-modified": "1.2.3+4.g611075b.modified",
		"611075b":                    "0~20270115080000.611075b",
		"611075b-modified":           "0~20270115080000.611075b.modified",
		"unknown":                    "0~20270115080000.unknown",
	} {
		require.Equal(t, want, debVersion(version, commit, date), version)
	}
}
