# What a chunk-node may do in Consul: register itself and get its certificate, find the others, read the layout.
service "garage-chunk-node" {
  policy = "write"
}
service_prefix "" {
  policy = "read"
}
node_prefix "" {
  policy = "read"
}
key_prefix "garage/" {
  policy = "read"
}
# The first service of a cluster gives it its id.
key "garage/cluster-id" {
  policy = "write"
}
