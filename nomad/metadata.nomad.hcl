# Metadata services: keep buckets, keys and objects in the CQL database. They hold nothing that is not there as well, but the
# snapshots that they take: all metadata, with the secrets of access keys.

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
  default     = { cpu = 200, memory = 192, memory_max = 512 }
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
  default     = { rpc = 3902, admin = 3912 }
  description = "ports of gRPC and of administration"
}

variable "disk" {
  type        = number
  default     = 1024
  description = "room in MiB for the snapshots of the metadata: as many as metadata.snapshot.keep says (7), and one under way"
}

variable "cql_hosts" {
  type        = list(string)
  default     = []
  description = "database nodes, as host or host:port"
}

variable "cql_keyspace" {
  type        = string
  default     = "garage"
  description = "keyspace, which the service makes"
}

variable "cql_replication" {
  type        = string
  default     = "3"
  description = "copies of the metadata when the keyspace is made: a number, or one for each datacentre as dc1:3,dc2:3"
}

variable "cql_datacenter" {
  type        = string
  default     = ""
  description = "the database's datacentre that is near; empty: all are"
}

variable "cql_consistency" {
  type        = string
  default     = "QUORUM"
  description = "QUORUM; or LOCAL_QUORUM, only for a keyspace that is in one datacentre: services in several would not see each other's writes"
}

locals {
  # The archive holds a folder of its own name.
  programs = var.artifact == "" ? var.bin : "local/${trimsuffix(basename(split("?", var.artifact)[0]), ".tar.gz")}"
}

job "garage-metadata" {
  datacenters = var.datacenters
  type        = "service"
  priority    = 70

  group "metadata" {
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
    spread {
      attribute = "$${meta.zone}"
    }

    update {
      max_parallel      = 1
      health_check      = "checks"
      min_healthy_time  = "5s"
      healthy_deadline  = "5m"
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

    # The node id, for a Consul that is away the last certificate, and snapshots, which have copies in the cluster's chunks.
    ephemeral_disk {
      sticky  = true
      migrate = true
      size    = var.disk
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
      name     = "garage-metadata-deploy"
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

    task "metadata" {
      driver = var.driver

      dynamic "config" {
        for_each = var.driver == "docker" ? [1] : []
        content {
          image        = var.image
          network_mode = "host"
          command      = "/bin/metadata"
        }
      }
      dynamic "config" {
        for_each = var.driver == "docker" ? [] : [1]
        content {
          command = "${local.programs}/metadata"
        }
      }
      dynamic "artifact" {
        for_each = var.artifact == "" ? [] : [1]
        content {
          source = var.artifact
        }
      }

      env = merge({
        CONSUL_HTTP_ADDR                = var.consul_address
        GARAGE_ADMIN_LISTEN             = "${var.admin_address}:${var.ports.admin}"
        GARAGE_CONSUL_ENABLED           = "true"
        GARAGE_DATA                     = "$${NOMAD_ALLOC_DIR}/data/metadata"
        GARAGE_LOG_FORMAT               = "json"
        GARAGE_METADATA_CQL_CONSISTENCY = var.cql_consistency
        GARAGE_METADATA_CQL_DATACENTER  = var.cql_datacenter
        GARAGE_METADATA_CQL_HOSTS       = join(",", var.cql_hosts)
        GARAGE_METADATA_CQL_KEYSPACE    = var.cql_keyspace
        GARAGE_METADATA_CQL_REPLICATION = var.cql_replication
        GARAGE_METADATA_STORE           = "cql"
        GARAGE_RPC_LISTEN               = "${var.address}:${var.ports.rpc}"
        GARAGE_RPC_TLS_SOURCE           = var.rpc_tls
        GARAGE_ZONE                     = "$${meta.zone}"

        # Go collects garbage more eagerly near this, instead of being killed at the limit.
        GOMEMLIMIT = "${floor(var.resources.memory * 0.8)}MiB"
      }, var.env)

      # Secrets: each item of the Nomad variable nomad/jobs/garage-metadata is an environment variable, such as
      # CONSUL_HTTP_TOKEN. A change is taken by the next deployment.
      template {
        destination = "secrets/env"
        env         = true
        change_mode = "noop"
        data        = <<-EOT
          {{ if nomadVarExists "nomad/jobs/garage-metadata" }}{{ with nomadVar "nomad/jobs/garage-metadata" }}{{ range $name, $item := . }}
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
