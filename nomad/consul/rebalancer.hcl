# What a rebalancer may do in Consul: register itself and get its certificate, find the others, publish the layout, and hold the lock
# of the active one, with a session that belongs to its machine.
service "garage-rebalancer" {
  policy = "write"
}
service_prefix "" {
  policy = "read"
}
node_prefix "" {
  policy = "read"
}
key_prefix "garage/" {
  policy = "write"
}
session_prefix "" {
  policy = "write"
}
