package parts

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// allowReading lets everybody see nodes, services, their health and what they keep, as the UI does, where everything else is denied
// without a token.
func allowReading(ctx context.Context, address, token string) error {
	const policy, anonymous = "anonymous-read", "00000000-0000-0000-0000-000000000002"
	const rules = `node_prefix "" { policy = "read" } service_prefix "" { policy = "read" } agent_prefix "" { policy = "read" } key_prefix "" { policy = "read" }`
	var existing []struct{ Name string }
	if err := callConsul(ctx, http.MethodGet, address, token, "acl/policies", nil, &existing); err != nil {
		return err
	}
	for _, p := range existing {
		if p.Name == policy {
			return nil
		}
	}
	if err := callConsul(ctx, http.MethodPut, address, token, "acl/policy", map[string]any{"Name": policy, "Rules": rules}, nil); err != nil {
		return err
	}
	return callConsul(ctx, http.MethodPut, address, token, "acl/token/"+anonymous, map[string]any{
		"AccessorID": anonymous, "Description": "who has no token", "Policies": []map[string]any{{"Name": policy}},
	}, nil)
}

func callConsul(ctx context.Context, method, address, token, path string, request, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	text, err := json.Marshal(request)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+address+"/v1/"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("X-Consul-Token", token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("consul: %s %s: %s: %s", method, path, resp.Status, body)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(body, answer)
}
