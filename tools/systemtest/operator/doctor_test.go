package operator

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type diagnosis struct {
	Findings []struct{ Level, Check, Problem, Advice string }
	Checks   []struct{ Name, State string }
	Examined int
}

// doctor is what garage doctor finds at a server, and its exit status.
func doctor(t *testing.T, s *server) (d diagnosis, status int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), garage(t), "doctor", "--json")
	cmd.Env = append(os.Environ(), "GARAGE_DATA="+s.data, "GARAGE_ADMIN="+s.admin)
	out, _ := cmd.Output() // the status says how it went
	require.NoError(t, json.Unmarshal(out, &d), "%s", out)
	return d, cmd.ProcessState.ExitCode()
}

func TestDoctorExaminesAServer(t *testing.T) {
	s := standalone(t, filepath.Join(t.TempDir(), "data"), nil)
	d, _ := doctor(t, s)
	require.Equal(t, 1, d.Examined)
	state := map[string]string{}
	for _, c := range d.Checks {
		state[c.Name] = c.State
	}
	for _, name := range []string{"reachability", "damage", "layout", "clocks", "versions"} {
		require.Equal(t, "fine", state[name], "%s: %v", name, d.Findings)
	}
	require.Equal(t, "not seen", state["access"], "there is no Consul")
}

func TestDoctorFindsWhatIsWrongWithAServer(t *testing.T) {
	s := &server{data: filepath.Join(t.TempDir(), "data"), s3: freeAddress(t), admin: freeAddress(t)}
	s.running = start(t, t.TempDir(), nil, "sh", "-c", `ulimit -n 1000 && exec "$0" standalone --data "$1" --s3 "$2" --admin "$3"`, garage(t), s.data, s.s3, s.admin)
	s.until("its address", time.Minute, func() bool { return strings.Contains(s.out.String(), s.s3) })
	d, status := doctor(t, s)
	require.Positive(t, status)
	for _, f := range d.Findings {
		if f.Check == "files" {
			require.Contains(t, f.Problem, "1000")
			require.Contains(t, f.Advice, "LimitNOFILE")
			return
		}
	}
	t.Fatalf("nothing was found about the files that it may open: %v", d.Findings)
}
