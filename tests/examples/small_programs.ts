/** The small programs of examples/, by their names. */
export const SMALL_PROGRAMS: readonly string[] = [
  "quick_start",
  "custom_region",
  "device",
  "dirty_pages",
  "share_with_worker",
  "share_with_process",
  "file_loader",
  "snapshot",
];
