# Chunk-nodes: one on every machine that has the host volume. It keeps chunks on the machine's disks.

variable "datacenters" {
  type        = list(string)
  default     = ["*"]
  description = "Nomad datacentres to run in"
}

variable "zones" {
  type        = list(string)
  default     = []
  description = "run only on machines whose meta.zone is one of these; empty: on all"
}

variable "driver" {
  type        = string
  default     = "exec"
  description = "raw_exec, exec or docker"
}

variable "artifact" {
  type        = string
  default     = ""
  description = "URL of the archive with the programs, as make packages makes it, such as https://example.org/garage-1.0-linux-amd64.tar.gz?checksum=sha256:…; empty: they are on the machines, in bin"
}

variable "image" {
  type        = string
  default     = ""
  description = "image with the programs in /bin, for the driver docker"
}

variable "bin" {
  type        = string
  default     = "/usr/local/bin"
  description = "folder of the programs when there is neither artifact nor image"
}

variable "address" {
  type        = string
  default     = "$${attr.unique.network.ip-address}"
  description = "address that the service listens on and is found at"
}

variable "admin_address" {
  type        = string
  default     = "127.0.0.1"
  description = "address of the administration server; one that other machines reach needs TLS (admin.tls.cert and admin.tls.key)"
}

variable "consul_address" {
  type        = string
  default     = "127.0.0.1:8500"
  description = "address of the machine's Consul agent"
}

variable "rpc_tls" {
  type        = string
  default     = "consul"
  description = "where the certificates between services come from: consul, files or off"
}

variable "resources" {
  type        = object({ cpu = number, memory = number, memory_max = number })
  default     = { cpu = 200, memory = 256, memory_max = 512 }
  description = "processor in MHz, memory in MiB that is reserved, and the most that may be used where Nomad allows more than is reserved"
}

variable "env" {
  type        = map(string)
  default     = {}
  description = "more settings, as environment variables; the program's --help lists them"
}

variable "volume" {
  type        = string
  default     = "garage-chunk-node"
  description = "name of the Nomad host volume"
}

variable "data" {
  type        = string
  default     = "$${meta.garage_data}"
  description = "folder of the data with the driver raw_exec, which cannot mount the volume: the volume's path, given by each machine as meta.garage_data"
}

variable "ports" {
  type        = object({ rpc = number, admin = number })
  default     = { rpc = 3901, admin = 3911 }
  description = "ports of gRPC and of administration"
}

variable "min_healthy_time" {
  type        = string
  default     = "10s"
  description = "how long a replaced chunk-node must be healthy before the next one is replaced"
}

locals {
  # The archive holds a folder of its own name.
  programs = var.artifact == "" ? var.bin : "local/${trimsuffix(basename(split("?", var.artifact)[0]), ".tar.gz")}"
}

job "garage-chunk-node" {
  datacenters = var.datacenters
  type        = "system"

  # Above services that can run elsewhere: the data is here only.
  priority = 80

  group "chunk-node" {
    dynamic "constraint" {
      for_each = length(var.zones) > 0 ? [1] : []
      content {
        attribute = "$${meta.zone}"
        operator  = "regexp"
        value     = "^(${join("|", var.zones)})$"
      }
    }

    # One at a time, and the next only when the last one is healthy: two owners of a partition are never replaced at
    # once. A node that has much to check may need minutes to start. The deadlines are long because Nomad (1.11) no
    # longer counts a node that has missed them as being replaced, and would go on with the next one. Nothing is reverted
    # by itself: an older program may not know what the newer one has written.
    update {
      max_parallel      = 1
      health_check      = "checks"
      min_healthy_time  = var.min_healthy_time
      healthy_deadline  = "24h"
      progress_deadline = "25h"
    }

    # Always started again: the machine's data is nowhere else.
    restart {
      attempts = 10
      interval = "5m"
      delay    = "2s"
      mode     = "delay"
    }

    # A machine that Nomad's servers have lost sight of goes on serving.
    disconnect {
      lost_after = "720h"
      replace    = false
      reconcile  = "keep_original"
    }

    network {
      mode = "host"
      port "rpc" {
        static = var.ports.rpc
      }
      port "admin" {
        static = var.ports.admin
      }
    }

    volume "data" {
      type   = "host"
      source = var.volume
    }

    # What a deployment waits for. Nomad can only wait for checks of services that it registers itself, and the service
    # that others look for is registered in Consul by the program, with its node id, zone and live health. So this one has
    # a name of its own and stays in Nomad: Consul shows each chunk-node once, and deployments work while Consul is away.
    service {
      name     = "garage-chunk-node-deploy"
      provider = "nomad"
      port     = "admin"
      address  = var.admin_address
      check {
        type     = "http"
        path     = "/healthz"
        interval = "2s"
        timeout  = "2s"
      }
    }

    task "chunk-node" {
      driver = var.driver

      dynamic "config" {
        for_each = var.driver == "docker" ? [1] : []
        content {
          image        = var.image
          network_mode = "host"
          command      = "/bin/chunk-node"
        }
      }
      dynamic "config" {
        for_each = var.driver == "docker" ? [] : [1]
        content {
          command = "${local.programs}/chunk-node"
        }
      }
      dynamic "artifact" {
        for_each = var.artifact == "" ? [] : [1]
        content {
          source = var.artifact
        }
      }
      dynamic "volume_mount" {
        for_each = var.driver == "raw_exec" ? [] : [1]
        content {
          volume      = "data"
          destination = "/data"
        }
      }

      env = merge({
        CONSUL_HTTP_ADDR      = var.consul_address
        GARAGE_ADMIN_LISTEN   = "${var.admin_address}:${var.ports.admin}"
        GARAGE_CONSUL_ENABLED = "true"
        GARAGE_DATA           = var.driver == "raw_exec" ? var.data : "/data"
        GARAGE_LOG_FORMAT     = "json"
        GARAGE_MEMORY         = "${floor(var.resources.memory / 3)}MiB"
        GARAGE_RPC_LISTEN     = "${var.address}:${var.ports.rpc}"
        GARAGE_RPC_TLS_SOURCE = var.rpc_tls
        GARAGE_ZONE           = "$${meta.zone}"

        # Go collects garbage more eagerly near this, instead of being killed at the limit.
        GOMEMLIMIT = "${floor(var.resources.memory * 0.8)}MiB"
      }, var.env)

      # Secrets: each item of the Nomad variable nomad/jobs/garage-chunk-node is an environment variable, such as
      # CONSUL_HTTP_TOKEN. A change is taken by the next deployment.
      template {
        destination = "secrets/env"
        env         = true
        change_mode = "noop"
        data        = <<-EOT
          {{ if nomadVarExists "nomad/jobs/garage-chunk-node" }}{{ with nomadVar "nomad/jobs/garage-chunk-node" }}{{ range $name, $item := . }}
          {{ $name }}={{ $item.Value | toJSON }}
          {{ end }}{{ end }}{{ end }}
        EOT
      }

      # Before it stops, a chunk-node asks the active rebalancer for leave, which one zone at a time gets.
      # Nomad's agents cap this at their setting max_kill_timeout, which is 30s unless it is raised.
      kill_timeout = "10m"

      resources {
        cpu        = var.resources.cpu
        memory     = var.resources.memory
        memory_max = var.resources.memory_max
      }
      logs {
        max_files     = 5
        max_file_size = 10
      }
    }
  }
}
