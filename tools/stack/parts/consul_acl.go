package parts

import (
	"context"
	"net/http"

	"deuxfleurs.fr/garage/tools/httpjson"
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

func callConsul(ctx context.Context, method, address, token, path string, question, answer any) error {
	return httpjson.Call(ctx, method, "http://"+address+"/v1/"+path, http.Header{"X-Consul-Token": {token}}, question, answer)
}
