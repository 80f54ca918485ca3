# What Traefik may do in Consul: find the gateways.
service_prefix "garage-" {
  policy = "read"
}
node_prefix "" {
  policy = "read"
}
