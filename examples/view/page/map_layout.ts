/**
 * Which cell of the map shows which pages: rows of cells, each region from a row of its own on.
 *
 * @module
 */

/** A region: number of the first page, how many, and the guest address of the first. */
export type Region = readonly [firstPage: number, pages: number, startAddr: number];

/** The largest zoom level: a cell has `2 ** level` pages, so 512, which are 2 MiB on x86. */
export const MOST_LEVEL = 9;

interface Block {
  readonly firstRow: number;
  readonly rows: number;
  readonly region: Region;
}

/** The cells of a map. */
export class MapLayout {
  /** How many rows there are. */
  readonly rows: number;
  /** Pages of a row. */
  readonly rowPages: number;
  /** Cells in a row. */
  readonly columns: number;
  /** A cell has `2 ** level` pages. */
  readonly level: number;
  readonly #blocks: readonly Block[];

  /**
   * Lays a map out.
   *
   * @param regions The regions.
   * @param columns Cells in a row.
   * @param level A cell has `2 ** level` pages.
   */
  constructor(
    regions: readonly Region[],
    columns: number,
    level: number,
  ) {
    this.columns = columns;
    this.level = level;
    this.rowPages = columns * 2 ** level;
    let firstRow = 0;
    this.#blocks = regions.map((region) => {
      const rows = Math.ceil(region[1] / this.rowPages);
      const block = { firstRow, rows, region };
      firstRow += rows;
      return block;
    });
    this.rows = firstRow;
  }

  /** Cells, with those at the end of a region that show nothing. */
  get cells(): number {
    return this.rows * this.columns;
  }

  /** The pages of a cell: none where it shows nothing. */
  pagesOf(cell: number): readonly [first: number, end: number] {
    const row = Math.floor(cell / this.columns);
    const block = this.#blockOfRow(row);
    if (block === undefined) return [0, 0];
    const [firstPage, pages] = block.region;
    const offset = (cell - block.firstRow * this.columns) * 2 ** this.level;
    return [
      firstPage + Math.min(offset, pages),
      firstPage + Math.min(offset + 2 ** this.level, pages),
    ];
  }

  /** The cell that shows a page. */
  cellOf(page: number): number {
    const { region: [firstPage], firstRow } = this.#blocks.findLast(({ region }) =>
      region[0] <= page
    )!;
    return firstRow * this.columns + Math.floor((page - firstPage) / 2 ** this.level);
  }

  /** The region of a row, and the guest address of the row's first page. */
  placeOfRow(row: number): { readonly region: Region; readonly address: number } | undefined {
    const block = this.#blockOfRow(row);
    if (block === undefined) return undefined;
    return { region: block.region, address: (row - block.firstRow) * this.rowPages };
  }

  /** Whether a region begins with a row. */
  beginsRegion(row: number): boolean {
    return this.#blocks.some(({ firstRow }) => firstRow === row);
  }

  #blockOfRow(row: number): Block | undefined {
    return this.#blocks.find(({ firstRow, rows }) => row >= firstRow && row < firstRow + rows);
  }
}
