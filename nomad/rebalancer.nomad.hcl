# Rebalancers: one is active, the others stand by. The command line speaks to their administration port.

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
  default     = { cpu = 100, memory = 128, memory_max = 256 }
  description = "processor in MHz, memory in MiB that is reserved, and the most that may be used where Nomad allows more than is reserved"
}

variable "env" {
  type        = map(string)
  default     = {}
  description = "more settings, as environment variables; the program's --help lists them"
}

variable "instances" {
  type        = number
  default     = 2
  description = "how many, each on another machine"
}

variable "ports" {
  type        = object({ rpc = number, admin = number })
  default     = { rpc = 3904, admin = 3903 }
  description = "ports of gRPC and of administration"
}

variable "tags" {
  type        = list(string)
  default     = []
  description = "tags of the service in Consul"
}

locals {
  # The archive holds a folder of its own name.
  programs = var.artifact == "" ? var.bin : "local/${trimsuffix(basename(split("?", var.artifact)[0]), ".tar.gz")}"
}

job "garage-rebalancer" {
  datacenters = var.datacenters
  type        = "service"
  priority    = 60

  group "rebalancer" {
    count = var.instances
    dynamic "constraint" {
      for_each = length(var.zones) > 0 ? [1] : []
      content {
        attribute = "$${meta.zone}"
        operator  = "regexp"
        value     = "^(${join("|", var.zones)})$"
      }
    }
    constraint {
      operator = "distinct_hosts"
      value    = "true"
    }

    update {
      max_parallel      = 1
      health_check      = "checks"
      min_healthy_time  = "5s"
      healthy_deadline  = "3m"
      progress_deadline = "10m"
      auto_revert       = true
    }

    restart {
      attempts = 10
      interval = "5m"
      delay    = "2s"
      mode     = "delay"
    }
    reschedule {
      delay          = "5s"
      delay_function = "exponential"
      max_delay      = "5m"
      unlimited      = true
    }

    # The node id, the last certificate for a Consul that is away, and what is remembered for people: events with the audit
    # log, and how much buckets held, each up to 64 MiB and the latter twice.
    ephemeral_disk {
      sticky = true
      size   = 400
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

    # What a deployment waits for; see chunk-node.nomad.hcl.
    service {
      name     = "garage-rebalancer-deploy"
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

    task "rebalancer" {
      driver = var.driver

      dynamic "config" {
        for_each = var.driver == "docker" ? [1] : []
        content {
          image        = var.image
          network_mode = "host"
          command      = "/bin/rebalancer"
        }
      }
      dynamic "config" {
        for_each = var.driver == "docker" ? [] : [1]
        content {
          command = "${local.programs}/rebalancer"
        }
      }
      dynamic "artifact" {
        for_each = var.artifact == "" ? [] : [1]
        content {
          source = var.artifact
        }
      }

      env = merge({
        CONSUL_HTTP_ADDR      = var.consul_address
        GARAGE_ADMIN_LISTEN   = "${var.admin_address}:${var.ports.admin}"
        GARAGE_CONSUL_ENABLED = "true"
        GARAGE_CONSUL_TAGS    = join(",", var.tags)
        GARAGE_DATA           = "$${NOMAD_ALLOC_DIR}/data/rebalancer"
        GARAGE_LOG_FORMAT     = "json"
        GARAGE_RPC_LISTEN     = "${var.address}:${var.ports.rpc}"
        GARAGE_RPC_TLS_SOURCE = var.rpc_tls
        GARAGE_ZONE           = "$${meta.zone}"

        # Go collects garbage more eagerly near this, instead of being killed at the limit.
        GOMEMLIMIT = "${floor(var.resources.memory * 0.8)}MiB"
      }, var.env)

      # Secrets: each item of the Nomad variable nomad/jobs/garage-rebalancer is an environment variable, such as
      # CONSUL_HTTP_TOKEN. A change is taken by the next deployment.
      template {
        destination = "secrets/env"
        env         = true
        change_mode = "noop"
        data        = <<-EOT
          {{ if nomadVarExists "nomad/jobs/garage-rebalancer" }}{{ with nomadVar "nomad/jobs/garage-rebalancer" }}{{ range $name, $item := . }}
          {{ $name }}={{ $item.Value | toJSON }}
          {{ end }}{{ end }}{{ end }}
        EOT
      }

      kill_timeout = "60s"

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
