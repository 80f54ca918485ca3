# A database of one node for development and trying out. It has one copy of the metadata: production has ScyllaDB on three machines or
# more, by its own packages (see README.md).
#
# With docker it is ScyllaDB; with raw_exec or exec it is Apache Cassandra, from a folder of its libraries, on a Java 17.

variable "datacenters" {
  type        = list(string)
  default     = ["*"]
  description = "Nomad datacentres to run in"
}

variable "node" {
  type        = string
  default     = ""
  description = "name of the Nomad node that keeps the data; empty: any that has the host volume"
}

variable "driver" {
  type        = string
  default     = "docker"
  description = "docker, exec or raw_exec"
}

variable "image" {
  type        = string
  default     = "scylladb/scylla:6.2"
  description = "image for the driver docker"
}

variable "java" {
  type        = string
  default     = "/usr/bin/java"
  description = "Java 17, for the other drivers"
}

variable "libraries" {
  type        = string
  default     = "/opt/cassandra/lib"
  description = "folder with the libraries of Cassandra 5.0, jamm among them, for the other drivers"
}

variable "address" {
  type        = string
  default     = "$${attr.unique.network.ip-address}"
  description = "address that the database listens on"
}

variable "ports" {
  type        = object({ cql = number, storage = number, jmx = number })
  default     = { cql = 9042, storage = 7000, jmx = 7199 }
  description = "ports of CQL, of the database's own traffic and of JMX"
}

variable "volume" {
  type        = string
  default     = "garage-cql"
  description = "name of the Nomad host volume"
}

variable "data" {
  type        = string
  default     = "$${meta.cql_data}"
  description = "folder of the data with the driver raw_exec, which cannot mount the volume"
}

variable "heap" {
  type        = number
  default     = 512
  description = "memory for the database in MiB: Cassandra's heap, or all of ScyllaDB"
}

locals {
  folder = var.driver == "raw_exec" ? var.data : "/data"
  exports = [
    "java.base/java.lang.ref", "java.base/jdk.internal.misc", "java.base/jdk.internal.ref", "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi", "java.rmi/sun.rmi.registry", "java.rmi/sun.rmi.server", "java.sql/java.sql",
    "jdk.attach/sun.tools.attach", "jdk.compiler/com.sun.tools.javac.api", "jdk.compiler/com.sun.tools.javac.code",
    "jdk.compiler/com.sun.tools.javac.comp", "jdk.compiler/com.sun.tools.javac.file", "jdk.compiler/com.sun.tools.javac.parser",
    "jdk.compiler/com.sun.tools.javac.tree", "jdk.compiler/com.sun.tools.javac.util", "jdk.unsupported/sun.misc",
  ]
  opens = [
    "java.base/java.io", "java.base/java.lang", "java.base/java.lang.module", "java.base/java.lang.reflect", "java.base/java.math",
    "java.base/java.net", "java.base/java.nio", "java.base/java.nio.charset", "java.base/java.nio.file.spi", "java.base/java.util",
    "java.base/java.util.concurrent", "java.base/java.util.concurrent.atomic", "java.base/javax.crypto", "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math", "java.base/jdk.internal.module", "java.base/jdk.internal.ref", "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar", "java.base/sun.nio.ch", "java.base/sun.security.ssl", "java.base/sun.security.util",
    "jdk.management/com.sun.management.internal",
  ]
  cassandra = concat(
    [
      "-Xms${var.heap}M", "-Xmx${var.heap}M", "-XX:MaxDirectMemorySize=128M", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError",
      "-javaagent:${var.libraries}/jamm-0.4.0.jar", "-Dcassandra.config=file://$${NOMAD_TASK_DIR}/cassandra.yaml",
      "-Dcassandra.storagedir=${local.folder}", "-Dcassandra-foreground=yes", "-Dcassandra.jmx.local.port=${var.ports.jmx}",
      "-Djdk.attach.allowAttachSelf=true",
    ],
    [for name in local.exports : "--add-exports=${name}=ALL-UNNAMED"],
    [for name in local.opens : "--add-opens=${name}=ALL-UNNAMED"],
    ["-cp", "$${NOMAD_TASK_DIR}:${var.libraries}/*", "org.apache.cassandra.service.CassandraDaemon"],
  )
}

job "garage-cql" {
  datacenters = var.datacenters
  type        = "service"
  priority    = 80

  group "cql" {
    dynamic "constraint" {
      for_each = var.node == "" ? [] : [1]
      content {
        attribute = "$${node.unique.name}"
        value     = var.node
      }
    }

    # Never two on one data folder.
    update {
      max_parallel      = 1
      min_healthy_time  = "1s"
      healthy_deadline  = "5m"
      progress_deadline = "10m"
    }

    restart {
      attempts = 10
      interval = "10m"
      delay    = "5s"
      mode     = "delay"
    }

    network {
      mode = "host"
      port "cql" {
        static = var.ports.cql
      }
    }

    volume "data" {
      type   = "host"
      source = var.volume
    }

    service {
      name     = "garage-cql-deploy"
      provider = "nomad"
      port     = "cql"
      address  = var.address
      check {
        type     = "tcp"
        interval = "2s"
        timeout  = "2s"
      }
    }

    task "cql" {
      driver = var.driver

      dynamic "config" {
        for_each = var.driver == "docker" ? [1] : []
        content {
          image        = var.image
          network_mode = "host"
          # Sync before acknowledging: what Garage has acknowledged survives a power cut.
          args = [
            "--smp", "1", "--memory", "${var.heap}M", "--overprovisioned", "1", "--listen-address", var.address, "--rpc-address", var.address,
            "--seeds", var.address, "--commitlog-sync", "batch",
          ]
        }
      }
      dynamic "config" {
        for_each = var.driver == "docker" ? [] : [1]
        content {
          command = var.java
          args    = local.cassandra
        }
      }
      dynamic "volume_mount" {
        for_each = var.driver == "raw_exec" ? [] : [1]
        content {
          volume      = "data"
          destination = var.driver == "docker" ? "/var/lib/scylla" : "/data"
        }
      }

      template {
        destination = "local/cassandra.yaml"
        change_mode = "noop"
        data        = <<-EOT
          cluster_name: garage
          partitioner: org.apache.cassandra.dht.Murmur3Partitioner
          num_tokens: 16
          data_file_directories: ["{{ env "CQL_DATA" }}/data"]
          commitlog_directory: "{{ env "CQL_DATA" }}/commitlog"
          saved_caches_directory: "{{ env "CQL_DATA" }}/saved_caches"
          hints_directory: "{{ env "CQL_DATA" }}/hints"
          cdc_raw_directory: "{{ env "CQL_DATA" }}/cdc"
          # Sync before acknowledging: what Garage has acknowledged survives a power cut.
          commitlog_sync: group
          commitlog_sync_group_window: 1ms
          listen_address: {{ env "CQL_ADDRESS" }}
          rpc_address: {{ env "CQL_ADDRESS" }}
          native_transport_port: ${var.ports.cql}
          storage_port: ${var.ports.storage}
          endpoint_snitch: SimpleSnitch
          seed_provider:
            - class_name: org.apache.cassandra.locator.SimpleSeedProvider
              parameters: [{seeds: "{{ env "CQL_ADDRESS" }}:${var.ports.storage}"}]
          memtable_heap_space: 64MiB
          memtable_offheap_space: 64MiB
          commitlog_total_space: 256MiB
          commitlog_segment_size: 16MiB
        EOT
      }
      # Without one, Cassandra says all that it does.
      template {
        destination = "local/logback.xml"
        change_mode = "noop"
        data        = <<-EOT
          <configuration>
            <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
              <encoder><pattern>%date{ISO8601} %-5level %logger{0} %msg%n</pattern></encoder>
            </appender>
            <root level="WARN"><appender-ref ref="out"/></root>
            <logger name="org.apache.cassandra" level="INFO"/>
          </configuration>
        EOT
      }

      env {
        CQL_ADDRESS = var.address
        CQL_DATA    = local.folder
      }

      kill_timeout = "60s"

      resources {
        cpu        = 500
        memory     = var.heap + 768
        memory_max = var.heap + 1536
      }
    }
  }
}
