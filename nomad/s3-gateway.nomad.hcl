# S3 gateways, behind Traefik, which finds them in Consul.

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
  default     = { cpu = 300, memory = 384, memory_max = 768 }
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
  description = "how many"
}

variable "domain" {
  type        = string
  default     = ""
  description = "name of the S3 endpoint, such as s3.example.org: requests to it are path style, to names below it virtual-host style; empty: any name, path style only"
}

variable "region" {
  type        = string
  default     = "garage"
  description = "region that requests are signed for"
}

variable "ldap" {
  type        = object({ url = list(string), bind_dn = string, people = string, groups = string })
  default     = { url = [], bind_dn = "", people = "", groups = "" }
  description = "LDAP servers, who the gateway binds as (its password is a secret), and the DNs below which people and groups are; without url only built-in keys are known"
}

locals {
  # The archive holds a folder of its own name.
  programs = var.artifact == "" ? var.bin : "local/${trimsuffix(basename(split("?", var.artifact)[0]), ".tar.gz")}"

  rule = var.domain == "" ? "PathPrefix(`/`)" : "Host(`${var.domain}`) || HostRegexp(`^.+\\.${replace(var.domain, ".", "\\.")}$`)"

  # For Traefik's provider Consul Catalog: the entry points are those of traefik.nomad.hcl.
  tags = concat(
    ["traefik.enable=true"],
    flatten([for entry in ["s3", "s3s"] : [
      "traefik.http.routers.garage-${entry}.entrypoints=${entry}",
      "traefik.http.routers.garage-${entry}.rule=${local.rule}",
      # Towards a client that names no encoding, Traefik unpacks what is kept with "Content-Encoding: gzip", which is not what was
      # put. It does not when the gateway is asked for none. A client that does name one may have signed that.
      "traefik.http.routers.garage-${entry}-plain.entrypoints=${entry}",
      "traefik.http.routers.garage-${entry}-plain.rule=(${local.rule}) && !HeaderRegexp(`Accept-Encoding`, `.`)",
      "traefik.http.routers.garage-${entry}-plain.middlewares=garage-plain",
    ]]),
    ["traefik.http.routers.garage-s3s.tls=true", "traefik.http.routers.garage-s3s-plain.tls=true"],
    ["traefik.http.middlewares.garage-plain.headers.customrequestheaders.Accept-Encoding=identity"],
    # No "retry" here: it answers 200 to a client that closed its side of the connection before a gateway was reached (Traefik 3.6), and a PUT
    # must not succeed that never happened. A gateway that was killed is known to Consul some seconds later; until then what Traefik sends
    # there fails (502), and clients of S3 try again by themselves.
  )
}

job "garage-s3-gateway" {
  datacenters = var.datacenters
  type        = "service"
  priority    = 70

  group "s3-gateway" {
    count = var.instances
    dynamic "constraint" {
      for_each = length(var.zones) > 0 ? [1] : []
      content {
        attribute = "$${meta.zone}"
        operator  = "regexp"
        value     = "^(${join("|", var.zones)})$"
      }
    }
    spread {
      attribute = "$${node.unique.id}"
    }

    # One new gateway takes its share of the requests first; once it has been healthy for a while, the others follow.
    update {
      canary            = 1
      auto_promote      = true
      auto_revert       = true
      max_parallel      = 1
      health_check      = "checks"
      min_healthy_time  = "5s"
      healthy_deadline  = "3m"
      progress_deadline = "10m"
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

    # The node id and, for a Consul that is away, the last certificate.
    ephemeral_disk {
      sticky = true
      size   = 200
    }

    network {
      mode = "host"
      # Free ones, so that a canary can run beside the instance that it replaces.
      port "s3" {}
      port "admin" {}
    }

    # What a deployment waits for; see chunk-node.nomad.hcl.
    service {
      name     = "garage-s3-gateway-deploy"
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

    task "s3-gateway" {
      driver = var.driver

      dynamic "config" {
        for_each = var.driver == "docker" ? [1] : []
        content {
          image        = var.image
          network_mode = "host"
          command      = "/bin/s3-gateway"
        }
      }
      dynamic "config" {
        for_each = var.driver == "docker" ? [] : [1]
        content {
          command = "${local.programs}/s3-gateway"
        }
      }
      dynamic "artifact" {
        for_each = var.artifact == "" ? [] : [1]
        content {
          source = var.artifact
        }
      }

      env = merge({
        GARAGE_IDENTITY_LDAP_URL         = join(",", var.ldap.url)
        GARAGE_IDENTITY_LDAP_BIND_DN     = var.ldap.bind_dn
        GARAGE_IDENTITY_LDAP_PEOPLE_BASE = var.ldap.people
        GARAGE_IDENTITY_LDAP_GROUPS_BASE = var.ldap.groups
        CONSUL_HTTP_ADDR                 = var.consul_address
        GARAGE_ADMIN_LISTEN              = "${var.admin_address}:$${NOMAD_PORT_admin}"
        GARAGE_CONSUL_DRAIN              = "5s"
        GARAGE_CONSUL_ENABLED            = "true"
        GARAGE_CONFIG                    = "$${NOMAD_TASK_DIR}/gateway.yml"
        GARAGE_DATA                      = "$${NOMAD_ALLOC_DIR}/data/s3-gateway"
        GARAGE_LOG_FORMAT                = "json"
        GARAGE_MEMORY                    = "${floor(var.resources.memory / 3)}MiB"
        GARAGE_RPC_TLS_SOURCE            = var.rpc_tls
        GARAGE_S3_INLINE                 = "1KiB" # of the database's rows; larger bodies go to the chunk-nodes
        GARAGE_S3_LISTEN                 = "${var.address}:$${NOMAD_PORT_s3}"
        GARAGE_S3_REGION                 = var.region
        GARAGE_S3_ROOT_DOMAINS           = var.domain
        GARAGE_ZONE                      = "$${meta.zone}"

        # Go collects garbage more eagerly near this, instead of being killed at the limit.
        GOMEMLIMIT = "${floor(var.resources.memory * 0.8)}MiB"
      }, var.env)

      # Traefik's rules hold commas, which separate the tags where they are given in the environment.
      template {
        destination = "local/gateway.yml"
        change_mode = "noop"
        data        = jsonencode({ consul = { tags = local.tags } })
      }

      # Secrets: each item of the Nomad variable nomad/jobs/garage-s3-gateway is an environment variable, such as
      # CONSUL_HTTP_TOKEN and GARAGE_IDENTITY_LDAP_BIND_PASSWORD. A change is taken by the next deployment.
      template {
        destination = "secrets/env"
        env         = true
        change_mode = "noop"
        data        = <<-EOT
          {{ if nomadVarExists "nomad/jobs/garage-s3-gateway" }}{{ with nomadVar "nomad/jobs/garage-s3-gateway" }}{{ range $name, $item := . }}
          {{ $name }}={{ $item.Value | toJSON }}
          {{ end }}{{ end }}{{ end }}
        EOT
      }

      # 5s in which Traefik forgets it, and the requests under way.
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
