#!/bin/bash
# Run once by the image's entry point, on an empty data directory: the roles, the database and the watched table.
set -euo pipefail
admin=(psql -X -q -v ON_ERROR_STOP=1 -U "$POSTGRES_USER")
"${admin[@]}" -d postgres -f /sql/roles.sql \
  -v app_password="$APP_PASSWORD" -v cdc_password="$CDC_PASSWORD" -v brimline_password="$BRIMLINE_PASSWORD"
"${admin[@]}" -d "$POSTGRES_DB" -f /sql/schema.sql
