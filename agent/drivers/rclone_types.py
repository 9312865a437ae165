"""
What rclone may be asked for, as data: its types, the options of each, and which of them name another remote.

Read from ``rclone config providers`` of version 1.75.2, option by option; a test compares the two. What a newer rclone
adds is refused until it stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

ALIASES: Final[Mapping[str, str]] = {
    "gcs": "google cloud storage",
    "googlecloudstorage": "google cloud storage",
    "gphotos": "google photos",
    "googlephotos": "google photos",
    "tardigrade": "storj",
}
"""Other names of a type that rclone takes."""

WRAPPERS: Final[Mapping[str, str]] = {
    "alias": "remote",
    "chunker": "remote",
    "combine": "upstreams",
    "compress": "remote",
    "crypt": "remote",
    "hasher": "remote",
    "union": "upstreams",
}
"""Type → its option that names other remotes. Without it some of them take one out of the path."""

REFUSED_TYPES: Final[Mapping[str, str]] = {
    "archive": "takes the remote that it wraps out of the path",
    "cache": "keeps its files outside the share's own directories",
    "oracleobjectstorage": "logs in as this guest unless it is told otherwise",
}


class Risk(Enum):
    """Why an option needs the guest's consent."""

    COMMAND = "runs a command here"
    FILE = "reads files of this guest, or talks to its sockets"
    IDENTITY = "logs in as this guest"
    PATHS = "lets paths lead out of the directory"
    BITS = "sets setuid bits here"
    LOG = "writes secrets into the log"


_AZURE: Final = {
    "env_auth": Risk.IDENTITY,
    "use_msi": Risk.IDENTITY,
    "use_az": Risk.COMMAND,
    "client_certificate_path": Risk.FILE,
    "service_principal_file": Risk.FILE,
}

REFUSED_OPTIONS: Final[Mapping[str, Mapping[str, Risk]]] = {
    "azureblob": _AZURE,
    "azurefiles": _AZURE,
    "box": {"box_config_file": Risk.FILE},
    "drive": {"env_auth": Risk.IDENTITY, "service_account_file": Risk.FILE},
    "google cloud storage": {"env_auth": Risk.IDENTITY, "service_account_file": Risk.FILE},
    "hdfs": {"service_principal_name": Risk.IDENTITY},
    "local": {
        "copy_links": Risk.PATHS,
        "links": Risk.PATHS,
        "encoding": Risk.PATHS,
        "unicode_normalization": Risk.PATHS,
        "metadata_restore_special_bits": Risk.BITS,
    },
    "qingstor": {"env_auth": Risk.IDENTITY},
    "s3": {"env_auth": Risk.IDENTITY, "shared_credentials_file": Risk.FILE, "sdk_log_mode": Risk.LOG},
    "sftp": {
        "ssh": Risk.COMMAND,
        "key_file": Risk.FILE,
        "pubkey_file": Risk.FILE,
        "known_hosts_file": Risk.FILE,
        "key_use_agent": Risk.IDENTITY,
    },
    "smb": {"use_kerberos": Risk.IDENTITY, "kerberos_ccache": Risk.FILE},
    "swift": {"env_auth": Risk.IDENTITY},
    "webdav": {"bearer_token_command": Risk.COMMAND, "unix_socket": Risk.FILE},
}

SWITCHES: Final = frozenset(
    (
        "copy_links env_auth key_use_agent links metadata_restore_special_bits unicode_normalization use_az "
        "use_kerberos use_msi"
    ).split(" ")
)
"""Those of them that ask for nothing when they are false."""

UNDECLARED: Final = frozenset(
    {("jottacloud", name) for name in "configVersion device mountpoint tokenURL username".split(" ")}
)
"""What a type keeps in its section without declaring it as an option."""

EVERYWHERE: Final = frozenset({"type", "description"})
"""What every section may have."""

_OAUTH: Final = "client_id client_secret token auth_url token_url client_credentials"

_OPTIONS: Final[Mapping[str, str]] = {
    "alias": "remote",
    "azureblob": (
        "access_tier account archive_tier_delete chunk_size client_certificate_password client_id client_secret "
        "client_send_certificate_chain connection_string copy_concurrency copy_cutoff copy_total_concurrency "
        "decompress delete_snapshots directory_markers disable_checksum disable_instance_discovery encoding endpoint "
        "key list_chunk list_parallelism memory_pool_flush_time memory_pool_use_mmap msi_client_id msi_mi_res_id "
        "msi_object_id no_check_container no_head_object password public_access sas_url tenant upload_concurrency "
        "upload_cutoff use_arrow_list use_copy_blob use_emulator username"
    ),
    "azurefiles": (
        "account chunk_size client_certificate_password client_id client_secret client_send_certificate_chain "
        "connection_string disable_instance_discovery encoding endpoint key max_stream_size msi_client_id "
        "msi_mi_res_id msi_object_id password sas_url share_name tenant upload_concurrency use_emulator username"
    ),
    "b2": (
        "account chunk_size copy_cutoff disable_checksum download_auth_duration download_url encoding endpoint "
        "hard_delete key lifecycle memory_pool_flush_time memory_pool_use_mmap sse_customer_algorithm "
        "sse_customer_key sse_customer_key_base64 sse_customer_key_md5 test_mode upload_concurrency upload_cutoff "
        "version_at versions"
    ),
    "box": _OAUTH
    + (
        " access_token box_sub_type commit_retries config_credentials encoding impersonate list_chunk owned_by "
        "root_folder_id upload_cutoff"
    ),
    "chunker": "chunk_size fail_hard hash_type meta_format name_format remote start_from transactions",
    "cloudinary": (
        "adjust_media_files_extensions api_key api_secret cloud_name encoding eventually_consistent_delay "
        "media_extensions upload_prefix upload_preset"
    ),
    "combine": "upstreams",
    "compress": "level mode ram_cache_limit remote",
    "crypt": (
        "directory_name_encryption filename_encoding filename_encryption no_data_encryption pass_bad_blocks password "
        "password2 remote server_side_across_configs show_mapping strict_names suffix"
    ),
    "doi": "doi doi_resolver_api_url provider",
    "drime": (
        "access_token chunk_size encoding hard_delete list_chunk root_folder_id upload_concurrency upload_cutoff "
        "workspace_id"
    ),
    "drive": _OAUTH
    + (
        " acknowledge_abuse allow_import_name_change alternate_export auth_owner_only chunk_size copy_shortcut_content "
        "disable_http2 encoding export_formats fast_list_bug_fix formats impersonate import_formats "
        "keep_revision_forever list_chunk metadata_enforce_expansive_access metadata_labels metadata_owner "
        "metadata_permissions pacer_burst pacer_min_sleep resource_key root_folder_id scope "
        "server_side_across_configs service_account_credentials shared_with_me show_all_gdocs size_as_quota "
        "skip_checksum_gphotos skip_dangling_shortcuts skip_gdocs skip_shortcuts starred_only stop_on_download_limit "
        "stop_on_upload_limit team_drive trashed_only upload_cutoff use_created_date use_shared_date use_trash "
        "v2_download_min_size"
    ),
    "dropbox": _OAUTH
    + (
        " batch_commit_timeout batch_mode batch_size batch_timeout chunk_size encoding export_formats impersonate "
        "impersonate_admin pacer_min_sleep root_namespace shared_files shared_folders show_all_exports skip_exports "
        "skip_shared_folders skip_unowned_folders"
    ),
    "fichier": "api_key cdn encoding file_password folder_password shared_folder",
    "filefabric": "encoding permanent_token root_folder_id token token_expiry url version",
    "filelu": "chunk_size encoding key upload_cutoff",
    "filen": (
        "api_key auth_version base_folder_uuid email encoding master_keys password private_key public_key "
        "upload_concurrency"
    ),
    "filescom": "api_key encoding password site username",
    "ftp": (
        "allow_insecure_tls_ciphers ask_password close_timeout concurrency disable_epsv disable_mlsd disable_tls13 "
        "disable_utf8 encoding explicit_tls force_list_hidden host http_proxy idle_timeout no_check_certificate "
        "no_check_upload pass port shut_timeout socks_proxy tls tls_cache_size user writing_mdtm"
    ),
    "gofile": "access_token account_id encoding list_chunk root_folder_id",
    "google cloud storage": _OAUTH
    + (
        " access_token anonymous bucket_acl bucket_policy_only decompress directory_markers encoding endpoint location "
        "no_check_bucket object_acl project_number service_account_credentials storage_class user_project"
    ),
    "google photos": _OAUTH
    + (
        " batch_commit_timeout batch_mode batch_size batch_timeout encoding include_archived proxy read_only read_size "
        "start_year"
    ),
    "hasher": "auto_size hashes max_age remote",
    "hdfs": "data_transfer_protection encoding namenode username",
    "hidrive": _OAUTH
    + (
        " chunk_size disable_fetching_member_count encoding endpoint root_prefix scope_access scope_role "
        "upload_concurrency upload_cutoff"
    ),
    "http": "headers no_escape no_head no_slash url",
    "huaweidrive": _OAUTH + " chunk_size encoding list_chunk root_folder_id upload_cutoff",
    "iclouddrive": "apple_id client_id cookies encoding password service trust_token",
    "imagekit": "encoding endpoint only_signed private_key public_key upload_tags versions",
    "internetarchive": (
        "access_key_id disable_checksum encoding endpoint front_endpoint item_derive item_metadata secret_access_key "
        "wait_archive"
    ),
    "internxt": "chunk_size email encoding mnemonic pass skip_hash_validation upload_concurrency upload_cutoff",
    "jottacloud": _OAUTH
    + (
        " configVersion device encoding hard_delete md5_memory_limit mountpoint no_versions tokenURL trashed_only "
        "upload_resume_limit username"
    ),
    "koofr": "encoding endpoint mountid password provider setmtime user",
    "linkbox": "email password token web_token",
    "local": (
        "case_insensitive case_sensitive fatal_if_no_space hashes no_check_updated no_clone no_preallocate "
        "no_set_modtime no_sparse nounc one_file_system skip_links skip_specials time_type zero_size_links"
    ),
    "mailru": _OAUTH
    + (
        " check_hash encoding pass quirks speedup_enable speedup_file_patterns speedup_max_disk speedup_max_memory "
        "user user_agent"
    ),
    "mega": "2fa debug encoding hard_delete master_key pass session_id use_https user",
    "memory": "discard",
    "netstorage": "account host protocol secret",
    "onedrive": _OAUTH
    + (
        " access_scopes av_override chunk_size delta disable_site_permission drive_id drive_type encoding "
        "expose_onenote_files hard_delete hash_type link_password link_scope link_type list_chunk "
        "metadata_permissions no_versions region root_folder_id server_side_across_configs tenant tenant_url "
        "upload_cutoff"
    ),
    "opendrive": "access chunk_size encoding password username",
    "pcloud": _OAUTH + " encoding hostname password root_folder_id username",
    "pikpak": (
        "chunk_size device_id encoding hash_memory_limit no_media_link pass root_folder_id trashed_only "
        "upload_concurrency upload_cutoff use_trash user user_agent"
    ),
    "pixeldrain": "api_key api_url root_folder_id",
    "premiumizeme": _OAUTH + " api_key encoding",
    "protondrive": (
        "2fa app_version client_access_token client_refresh_token client_salted_key_pass client_uid enable_caching "
        "encoding mailbox_password original_file_size otp_secret_key password replace_existing_draft username"
    ),
    "putio": _OAUTH + " encoding",
    "qingstor": (
        "access_key_id chunk_size connection_retries encoding endpoint secret_access_key upload_concurrency "
        "upload_cutoff zone"
    ),
    "quatrix": (
        "api_key effective_upload_time encoding hard_delete host maximal_summary_chunk_size minimal_chunk_size "
        "skip_project_folders"
    ),
    "s3": (
        "access_key_id acl bucket_acl bucket_object_lock_enabled bypass_governance_retention chunk_size copy_cutoff "
        "decompress directory_bucket directory_markers disable_checksum disable_http2 download_url encoding endpoint "
        "force_path_style ibm_api_key ibm_iam_endpoint ibm_resource_instance_id leave_parts_on_error list_chunk "
        "list_url_encode list_version list_versions_oldest_first location_constraint max_upload_parts "
        "memory_pool_flush_time memory_pool_use_mmap might_gzip no_check_bucket no_head no_head_object "
        "no_system_metadata object_lock_legal_hold_status object_lock_mode object_lock_retain_until_date "
        "object_lock_set_after_upload object_lock_supported profile provider region requester_pays role_arn "
        "role_external_id role_session_duration role_session_name secret_access_key server_side_encryption "
        "session_token sign_accept_encoding sse_customer_algorithm sse_customer_key sse_customer_key_base64 "
        "sse_customer_key_md5 sse_kms_key_id storage_class sts_endpoint upload_concurrency upload_cutoff "
        "use_accelerate_endpoint use_accept_encoding_gzip use_already_exists use_arn_region "
        "use_data_integrity_protections use_dual_stack use_multipart_etag use_multipart_uploads use_presigned_request "
        "use_unsigned_payload use_x_id v2_auth version_at version_deleted versions"
    ),
    "seafile": "2fa auth_token create_library encoding library library_key pass url user",
    "sftp": (
        "ask_password blake3sum_command chunk_size ciphers concurrency connections copy_is_hardlink crc32sum_command "
        "disable_concurrent_reads disable_concurrent_writes disable_hashcheck encoding hashes host "
        "host_key_algorithms host_keys http_proxy idle_timeout key_exchange key_file_pass key_pem macs md5sum_command "
        "pass path_override pin_host_key port pubkey server_command set_env set_modtime sha1sum_command "
        "sha256sum_command shell_type skip_links socks_proxy subsystem use_fstat use_insecure_cipher user "
        "xxh128sum_command xxh3sum_command"
    ),
    "shade": "api_key chunk_size drive_id encoding endpoint max_upload_parts token token_expiry upload_concurrency",
    "sharefile": _OAUTH + " chunk_size encoding endpoint root_folder_id upload_cutoff",
    "sia": "api_password api_url encoding user_agent",
    "smb": "case_insensitive domain encoding hide_special_share host idle_timeout pass port spn user",
    "storj": "access_grant api_key passphrase provider satellite_address",
    "sugarsync": (
        "access_key_id app_id authorization authorization_expiry deleted_id encoding hard_delete private_access_key "
        "refresh_token root_id user"
    ),
    "swift": (
        "application_credential_id application_credential_name application_credential_secret auth auth_token "
        "auth_version chunk_size domain encoding endpoint_type fetch_until_empty_page key leave_parts_on_error "
        "no_chunk no_large_objects partial_page_fetch_threshold region storage_policy storage_url tenant "
        "tenant_domain tenant_id use_segments_container user user_id"
    ),
    "ulozto": "app_token encoding list_page_size password root_folder_slug username",
    "union": "action_policy cache_time create_policy min_free_space search_policy upstreams",
    "webdav": (
        "auth_redirect bearer_token encoding headers nextcloud_chunk_size owncloud_exclude_mounts "
        "owncloud_exclude_shares pacer_min_sleep pass url user vendor"
    ),
    "yandex": _OAUTH + " encoding hard_delete spoof_ua upload_wait",
    "zoho": _OAUTH
    + (
        " encoding list_folder_burst list_folder_limit list_folder_window region root_folder_id tpslimit "
        "tpslimit_burst upload_cutoff"
    ),
}

OPTIONS: Final[Mapping[str, frozenset[str]]] = {name: frozenset(options.split()) for name, options in _OPTIONS.items()}
"""Type → the options that a share may set; nothing of them runs a command or reads a file here."""
