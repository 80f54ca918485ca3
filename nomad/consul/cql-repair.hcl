# What the repair of the database may do in Consul: take its lock, with a session that belongs to its machine, and say when it succeeded.
key_prefix "garage/database/" {
  policy = "write"
}
session_prefix "" {
  policy = "write"
}
agent_prefix "" {
  policy = "read"
}
