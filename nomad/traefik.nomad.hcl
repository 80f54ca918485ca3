# Traefik: HTTP and HTTPS in front of the S3 gateways, which it finds in Consul.

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
  description = "URL of Traefik's archive, with ?checksum=sha256:… behind it; empty: the program is on the machines, in bin"
}

variable "program" {
  type        = string
  default     = "traefik"
  description = "name of the program in the archive or in bin"
}

variable "image" {
  type        = string
  default     = "traefik:v3.6"
  description = "image for the driver docker"
}

variable "bin" {
  type        = string
  default     = "/usr/local/bin"
  description = "folder of the programs when there is neither artifact nor image"
}

variable "consul_address" {
  type        = string
  default     = "127.0.0.1:8500"
  description = "address of the machine's Consul agent"
}

variable "resources" {
  type        = object({ cpu = number, memory = number, memory_max = number })
  default     = { cpu = 300, memory = 192, memory_max = 512 }
  description = "processor in MHz, memory in MiB that is reserved, and the most that may be used where Nomad allows more than is reserved"
}

variable "type" {
  type        = string
  default     = "system"
  description = "system: on every machine; service: as many as instances"
}

variable "instances" {
  type        = number
  default     = 1
  description = "how many, with the type service"
}

variable "address" {
  type        = string
  default     = ""
  description = "address to listen on; empty: all of the machine"
}

variable "local_address" {
  type        = string
  default     = "127.0.0.1"
  description = "address for Traefik's own state, asked by Nomad"
}

variable "ports" {
  type        = object({ s3 = number, s3s = number, admin = number, ping = number })
  default     = { s3 = 80, s3s = 443, admin = 0, ping = 8082 }
  description = "ports of HTTP, HTTPS, the rebalancer's administration (0: not offered) and Traefik's own state"
}

variable "trusted_proxies" {
  type        = list(string)
  default     = []
  description = "addresses, as 192.0.2.0/24, of proxies in front of Traefik whose word about the client's address is taken"
}

variable "encoded_characters" {
  type        = bool
  default     = true
  description = "tells Traefik to allow all encoded characters in paths. Versions 3.6.0 to 3.6.3 always do, and do not know these settings: false"
}

variable "args" {
  type        = list(string)
  default     = []
  description = "more arguments, for example those of an ACME certificate resolver"
}

locals {
  # S3 keys may hold any character, and the signature covers the path as it was sent: Traefik must not touch it.
  encoded = [
    for name in ["Slash", "BackSlash", "NullCharacter", "Semicolon", "Percent", "QuestionMark", "Hash"] :
    "http.encodedCharacters.allowEncoded${name}=true"
  ]
  s3 = concat([
    # "a//b", "./a" and "../a" are keys as good as others; cleaned, they would be other keys, and the signature wrong.
    "http.sanitizePath=false",
    # By default Traefik cuts a request whose body has not arrived within 60 s: every large upload over a home link.
    # The gateway itself cuts clients that send nothing, or too little.
    "transport.respondingTimeouts.readTimeout=0",
    # Uploads under way may finish when Traefik stops.
    "transport.lifeCycle.requestAcceptGraceTimeout=2s",
    "transport.lifeCycle.graceTimeOut=30s",
    ], var.encoded_characters ? local.encoded : [],
    # X-Forwarded-For and its like are removed unless they come from these addresses.
    length(var.trusted_proxies) > 0 ? ["forwardedHeaders.trustedIPs=${join(",", var.trusted_proxies)}"] : [],
  )
  arguments = concat(
    ["--entryPoints.s3.address=${var.address}:${var.ports.s3}", "--entryPoints.s3s.address=${var.address}:${var.ports.s3s}"],
    [for setting in local.s3 : "--entryPoints.s3.${setting}"],
    [for setting in local.s3 : "--entryPoints.s3s.${setting}"],
    var.ports.admin == 0 ? [] : ["--entryPoints.admin.address=${var.address}:${var.ports.admin}"],
    [
      "--entryPoints.ping.address=${var.local_address}:${var.ports.ping}",
      "--ping=true",
      "--ping.entryPoint=ping",
      "--providers.consulCatalog.endpoint.address=${var.consul_address}",
      "--providers.consulCatalog.exposedByDefault=false",
      # A gateway that comes or goes is known at once, not at the next poll.
      "--providers.consulCatalog.watch=true",
      "--providers.consulCatalog.refreshInterval=5s",
      # Only what is healthy.
      "--providers.consulCatalog.strictChecks=passing",
      "--providers.providersThrottleDuration=200ms",
      # A machine that is gone refuses no connection: this is how long a request waits for it. Idle connections end before the gateway ends
      # them (s3.keep-alive, two minutes): a request with a body on one that has just ended could not be repeated.
      "--serversTransport.forwardingTimeouts.dialTimeout=3s",
      "--serversTransport.forwardingTimeouts.idleConnTimeout=60s",
      # Certificates, as far as the Nomad variable has them.
      "--providers.file.filename=$${NOMAD_SECRETS_DIR}/tls.yml",
      "--accessLog=true",
      "--accessLog.format=json",
      "--log.level=INFO",
      "--log.format=json",
      "--global.checkNewVersion=false",
      "--global.sendAnonymousUsage=false",
    ],
    var.args,
  )
}

job "garage-traefik" {
  datacenters = var.datacenters
  type        = var.type
  priority    = 75

  group "traefik" {
    count = var.type == "system" ? 1 : var.instances
    dynamic "constraint" {
      for_each = length(var.zones) > 0 ? [1] : []
      content {
        attribute = "$${meta.zone}"
        operator  = "regexp"
        value     = "^(${join("|", var.zones)})$"
      }
    }

    update {
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

    network {
      mode = "host"
      port "s3" {
        static = var.ports.s3
      }
      port "s3s" {
        static = var.ports.s3s
      }
      port "ping" {
        static = var.ports.ping
      }
    }

    service {
      name     = "garage-traefik-deploy"
      provider = "nomad"
      port     = "ping"
      address  = var.local_address
      check {
        type     = "http"
        path     = "/ping"
        interval = "2s"
        timeout  = "2s"
      }
    }

    task "traefik" {
      driver = var.driver

      dynamic "config" {
        for_each = var.driver == "docker" ? [1] : []
        content {
          image        = var.image
          network_mode = "host"
          args         = local.arguments
        }
      }
      dynamic "config" {
        for_each = var.driver == "docker" ? [] : [1]
        content {
          command = var.artifact == "" ? "${var.bin}/${var.program}" : "local/${var.program}"
          args    = local.arguments
        }
      }
      env {
        GOMEMLIMIT = "${floor(var.resources.memory * 0.8)}MiB"
      }

      dynamic "artifact" {
        for_each = var.artifact == "" ? [] : [1]
        content {
          source = var.artifact
        }
      }

      # Secrets: the items "certificate" and "key" (PEM) of the Nomad variable nomad/jobs/garage-traefik, for S3's names
      # (those below the domain too, for virtual-host style), and "consul_token". Without a certificate Traefik makes one
      # that no client trusts, unless args name an ACME resolver.
      template {
        destination = "secrets/certificate.pem"
        data        = "{{ if nomadVarExists \"nomad/jobs/garage-traefik\" }}{{ with nomadVar \"nomad/jobs/garage-traefik\" }}{{ with .certificate }}{{ . }}{{ end }}{{ end }}{{ end }}"
        change_mode = "noop"
      }
      template {
        destination = "secrets/key.pem"
        data        = "{{ if nomadVarExists \"nomad/jobs/garage-traefik\" }}{{ with nomadVar \"nomad/jobs/garage-traefik\" }}{{ with .key }}{{ . }}{{ end }}{{ end }}{{ end }}"
        change_mode = "noop"
      }
      template {
        destination = "secrets/env"
        env         = true
        data        = "{{ if nomadVarExists \"nomad/jobs/garage-traefik\" }}{{ with nomadVar \"nomad/jobs/garage-traefik\" }}{{ with .consul_token }}CONSUL_HTTP_TOKEN={{ . }}{{ end }}{{ end }}{{ end }}"
        change_mode = "noop"
      }
      # Traefik reads this file again when it changes.
      template {
        destination = "secrets/tls.yml"
        change_mode = "noop"
        data        = <<-EOT
          {{ if nomadVarExists "nomad/jobs/garage-traefik" }}{{ with nomadVar "nomad/jobs/garage-traefik" }}{{ if .certificate }}
          tls:
            certificates:
              - certFile: {{ env "NOMAD_SECRETS_DIR" }}/certificate.pem
                keyFile: {{ env "NOMAD_SECRETS_DIR" }}/key.pem
          {{ end }}{{ end }}{{ end }}
        EOT
      }

      kill_timeout = "45s"

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
