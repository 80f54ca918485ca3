package layout

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
)

const threeNodes = `{
  "number": 4,
  "replication": 3,
  "nodes": [
    {"id": "cccccccc-0000-4000-8000-000000000003", "zone": "c", "capacity": "1.5TB", "address": "192.0.2.3:3901"},
    {"id": "aaaaaaaa-0000-4000-8000-000000000001", "zone": "a", "capacity": "auto", "tokens": 12, "address": "192.0.2.1:3901"},
    {"id": "bbbbbbbb-0000-4000-8000-000000000002", "zone": "b", "capacity": 20000000000, "tokens": 7}
  ]
}`

func TestParseReadsEveryFieldAndSorts(t *testing.T) {
	l, err := Parse([]byte(threeNodes))
	require.NoError(t, err)
	require.EqualValues(t, 4, l.Number)
	require.Equal(t, 3, l.Replication)
	require.Len(t, l.Nodes, 3)
	require.Equal(t, "a", l.Nodes[0].Zone)
	require.EqualValues(t, AutoCapacity, l.Nodes[0].Capacity)
	require.EqualValues(t, 12*BytesPerToken, l.Nodes[0].Bytes())
	require.EqualValues(t, 20_000_000_000, l.Nodes[1].Capacity)
	require.Equal(t, 7, l.Nodes[1].Tokens)
	require.EqualValues(t, 1_500_000_000_000, l.Nodes[2].Capacity)
	require.Equal(t, 120, l.Nodes[2].Tokens, "80 % of 1.5 TB in pieces of 10 GB")
	require.Equal(t, "192.0.2.3:3901", l.Nodes[2].Address)
}

func TestWrittenLayoutReadsBackEqual(t *testing.T) {
	l, err := Parse([]byte(threeNodes))
	require.NoError(t, err)
	b, err := json.Marshal(l)
	require.NoError(t, err)
	var again Layout
	require.NoError(t, json.Unmarshal(b, &again))
	require.Empty(t, cmp.Diff(l, again))
}

func TestReadFileNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "layout.json")
	_, err := ReadFile(path)
	require.ErrorContains(t, err, path)

	require.NoError(t, os.WriteFile(path, []byte(threeNodes), 0o600))
	l, err := ReadFile(path)
	require.NoError(t, err)
	require.Len(t, l.Nodes, 3)

	require.NoError(t, os.WriteFile(path, []byte(`{"number": 0}`), 0o600))
	_, err = ReadFile(path)
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, "number")
	require.True(t, errors.IsEntity(err, errors.Invalid, errors.Layout))
}

func TestWrongFilesAreRefusedByField(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"no number", `"number": 4`, `"number": 0`, "number: must be 1"},
		{"negative number", `"number": 4`, `"number": -4`, "number"},
		{"too many copies", `"replication": 3`, `"replication": 4`, "replication: must be 1 to 3"},
		{"no copies", `"replication": 3`, `"replication": 0`, "replication"},
		{"copies in words", `"replication": 3`, `"replication": "three"`, "replication"},
		{"unknown field", `"number": 4`, `"number": 4, "numbr": 5`, "numbr"},
		{"unknown node field", `"tokens": 7`, `"token": 7`, "token"},
		{"no UUID", `"aaaaaaaa-0000-4000-8000-000000000001"`, `"node-1"`, "nodes[1].id"},
		{"UUID in braces", `"aaaaaaaa-0000-4000-8000-000000000001"`, `"{aaaaaaaa-0000-4000-8000-000000000001}"`, "nodes[1].id"},
		{"nil UUID", `"aaaaaaaa-0000-4000-8000-000000000001"`, `"00000000-0000-0000-0000-000000000000"`, "nodes[1].id"},
		{"the same UUID", `aaaaaaaa-0000-4000-8000-000000000001`, `CCCCCCCC-0000-4000-8000-000000000003`, "nodes[1].id: is that of nodes[0] too"},
		{"no zone", `"zone": "b"`, `"zone": ""`, "nodes[2].zone"},
		{"long zone", `"zone": "b"`, `"zone": "` + strings.Repeat("b", 256) + `"`, "nodes[2].zone"},
		{"capacity in words", `"1.5TB"`, `"plenty"`, "nodes[0].capacity"},
		{"negative capacity", `20000000000`, `-1`, "nodes[2].capacity"},
		{"no capacity", `20000000000`, `0`, "nodes[2].capacity"},
		{"capacity null", `20000000000`, `null`, "nodes[2].capacity"},
		{"too large capacity", `20000000000`, `"99999999TB"`, "nodes[2].capacity"},
		{"no tokens", `"tokens": 7`, `"tokens": 0`, "nodes[2].tokens"},
		{"too many tokens", `"tokens": 7`, `"tokens": 2000000`, "nodes[2].tokens"},
		{"too few nodes", `,
    {"id": "bbbbbbbb-0000-4000-8000-000000000002", "zone": "b", "capacity": 20000000000, "tokens": 7}`, ``, "nodes: 3 copies need"},
		{"something after it", "\n}", "\n} {}", "follows"},
		{"cut off", "\n}", "", "JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(threeNodes, c.old, c.new, 1)
			require.NotEqual(t, threeNodes, text)
			_, err := Parse([]byte(text))
			require.ErrorContains(t, err, c.want)
			require.True(t, errors.Is(err, errors.Invalid))
		})
	}
}

func TestCapacitiesThatOverflowTogetherAreRefused(t *testing.T) {
	l := equalLayout(t, 1, 3, 3, 3)
	for i := range l.Nodes {
		l.Nodes[i].Capacity = 1 << 63
	}
	_, err := New(1, 3, l.Nodes)
	require.ErrorContains(t, err, "nodes: have a capacity of more than")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(threeNodes))
	f.Add([]byte(`{"number":1,"replication":1,"nodes":[{"id":"aaaaaaaa-0000-4000-8000-000000000001","zone":"z"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse(b)
		if err == nil {
			require.NoError(t, l.Validate())
		}
	})
}
