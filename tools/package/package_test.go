package main

import (
	"os"
	"path/filepath"
	"strings"
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

func TestLicencesAreKnownByTheirTerms(t *testing.T) {
	for text, want := range map[string][]string{
		"Apache License\n  Version 2.0, January 2004\n\nTERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION":                       {"Apache-2.0"},
		"Mozilla Public License, version 2.0\n1.4. \u201cCovered Software\u201d means":                                                      {"MPL-2.0"},
		"// Permission is hereby granted, free of charge, to\n// any person obtaining a copy":                                               {"MIT"},
		"Permission to use, copy, modify, and distribute this software for any\npurpose with or without fee is hereby granted":              {"ISC"},
		"Redistribution and use in source and binary forms":                                                                                 {"BSD-2-Clause"},
		"Redistribution and use in source and\nbinary forms\n* may be used to endorse or promote products":                                  {"BSD-3-Clause"},
		"Permission is hereby granted, free of charge, to any person obtaining a copy\n\nRedistribution and use in source and binary forms": {"MIT", "BSD-2-Clause"},
		"Licensed under the Apache License, Version 2.0 (the \"License\")":                                                                  {"Apache-2.0"},
		"You may use it on Sundays.": nil,
	} {
		require.Equal(t, want, licencesIn(text), text)
	}
	own, err := os.ReadFile("LICENSE")
	require.NoError(t, err)
	require.Equal(t, []string{"Apache-2.0"}, licencesIn(string(own)))
}

func TestATextThatSeveralModulesHaveIsThereOnce(t *testing.T) {
	said := notices([]module{
		{"example.org/a", "v1.0.0", []string{"MIT"}, []text{{"LICENSE", "the terms"}}},
		{"example.org/b", "v1.2.0", []string{"Apache-2.0", "MIT"}, []text{{"LICENSE", "the terms"}, {"NOTICE", "made by b"}}},
	})
	require.Contains(t, said, "example.org/b v1.2.0: Apache-2.0 AND MIT\n")
	require.Contains(t, said, "example.org/a v1.0.0: LICENSE\nexample.org/b v1.2.0: LICENSE\n")
	require.Equal(t, 1, strings.Count(said, "the terms"))
	require.Contains(t, said, "made by b")
}

func TestAModuleWhoseLicenceIsNotKnownIsRefused(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("GOMODCACHE", cache)
	folder := filepath.Join(cache, "example.org", "!odd@v1.0.0")
	require.NoError(t, os.MkdirAll(folder, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "LICENSE"), []byte("You may use it on Sundays."), 0o600))
	m := module{path: "example.org/Odd", version: "v1.0.0"}
	require.ErrorContains(t, m.read(), "no licence that is known")
	require.NoError(t, os.WriteFile(filepath.Join(folder, "LICENSE"), []byte("Mozilla Public License, 2.0. Covered Software"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "licence.go"), []byte("package odd"), 0o600))
	m = module{path: "example.org/Odd", version: "v1.0.0"}
	require.NoError(t, m.read())
	require.Equal(t, []string{"MPL-2.0"}, m.ids)
	require.Len(t, m.texts, 1)
}
