# The weekly repair of the database: on every machine that runs a node of it, one after the other, by the database's own tool. When
# it last succeeded on each machine goes into Consul, where "garage status" finds it.

variable "datacenters" {
  type        = list(string)
  default     = ["*"]
  description = "Nomad datacentres to run in"
}

variable "cron" {
  type        = string
  default     = "0 2 * * 6"
  description = "when it begins, in UTC; within gc_grace_seconds of the tables (ten days) on every machine"
}

variable "nodetool" {
  type        = string
  default     = "nodetool"
  description = "command of the database's tool on its machines: that of Cassandra or ScyllaDB, or docker exec CONTAINER nodetool"
}

variable "consul" {
  type        = string
  default     = "consul"
  description = "Consul's program on the machines"
}

variable "consul_address" {
  type        = string
  default     = "127.0.0.1:8500"
  description = "address of the machine's Consul agent"
}

variable "prefix" {
  type        = string
  default     = "garage"
  description = "folder of Consul's key-value store, as the services have it in consul.prefix"
}

variable "keyspace" {
  type        = string
  default     = "garage"
  description = "keyspace of the metadata"
}

variable "resources" {
  type        = object({ cpu = number, memory = number })
  default     = { cpu = 100, memory = 256 }
  description = "processor in MHz and memory in MiB of the tool; the work is done by the database"
}

job "garage-cql-repair" {
  datacenters = var.datacenters
  type        = "sysbatch"
  priority    = 40

  periodic {
    crons            = [var.cron]
    time_zone        = "UTC"
    prohibit_overlap = true
  }

  group "cql-repair" {
    constraint {
      attribute = "$${meta.garage_cql}"
      value     = "yes"
    }

    # A repair that failed, such as while a node was away, is tried again; after that the age of the last one grows.
    restart {
      attempts = 3
      interval = "12h"
      delay    = "30m"
      mode     = "fail"
    }

    task "cql-repair" {
      # The tool is one of the machine, which an isolated task would not see.
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["$${NOMAD_TASK_DIR}/repair.sh"]
      }

      env {
        CONSUL_HTTP_ADDR = var.consul_address
        KEY              = "${var.prefix}/database/repaired/$${node.unique.name}"
      }

      # The lock makes the machines take turns: each waits until the one before has finished. With -pr each repairs the ranges that it is
      # the first owner of, so that all together repair everything once.
      template {
        destination = "local/repair.sh"
        perms       = "755"
        change_mode = "noop"
        data        = <<-EOT
          set -eu
          # A machine that was never repaired is known as such.
          ${var.consul} kv put -cas -modify-index=0 "$KEY" "" >/dev/null 2>&1 || true # it is there already
          exec ${var.consul} lock -child-exit-code "${var.prefix}/database/repair" '${var.nodetool} repair -pr ${var.keyspace} && ${var.consul} kv put "$KEY" "$(date +%s)"'
        EOT
      }

      # Secrets: each item of the Nomad variable nomad/jobs/garage-cql-repair is an environment variable: CONSUL_HTTP_TOKEN.
      template {
        destination = "secrets/env"
        env         = true
        change_mode = "noop"
        data        = <<-EOT
          {{ if nomadVarExists "nomad/jobs/garage-cql-repair" }}{{ with nomadVar "nomad/jobs/garage-cql-repair" }}{{ range $name, $item := . }}
          {{ $name }}={{ $item.Value | toJSON }}
          {{ end }}{{ end }}{{ end }}
        EOT
      }

      resources {
        cpu    = var.resources.cpu
        memory = var.resources.memory
      }
      logs {
        max_files     = 2
        max_file_size = 10
      }
    }
  }
}
