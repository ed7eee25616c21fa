import { boolArray, byteaArray, int2Array, int4Array, int8Array, textArray } from "./binary-array.js";

/** One value of each row, as the array that an `unnest` takes. */
export type Column<Row> = (rows: readonly Row[]) => Buffer;

/**
 * Columns of the statements that every job passes, each by a function that reads a row. Such lists are made once, at the top level of a module:
 * V8 keeps what it has compiled for a function as long as one made in that place lives. Written where they are used, these were compiled
 * anew after each full collection, some 150 of them, which cost 6 % of a router's CPU time.
 */
export function int8Column<Row>(read: (row: Row) => number | bigint | null): Column<Row> {
  return (rows) => int8Array(rows.map(read));
}

export function int4Column<Row>(read: (row: Row) => number | null): Column<Row> {
  return (rows) => int4Array(rows.map(read));
}

export function int2Column<Row>(read: (row: Row) => number | null): Column<Row> {
  return (rows) => int2Array(rows.map(read));
}

export function boolColumn<Row>(read: (row: Row) => boolean | null): Column<Row> {
  return (rows) => boolArray(rows.map(read));
}

export function byteaColumn<Row>(read: (row: Row) => Buffer | null): Column<Row> {
  return (rows) => byteaArray(rows.map(read));
}

export function textColumn<Row>(read: (row: Row) => string | null): Column<Row> {
  return (rows) => textArray(rows.map(read));
}

/** A row's number, for the lists that have one column. */
export function noOf({ no }: { readonly no: number }): number {
  return no;
}

/** The first column of an answer, a number. */
export function firstNumber([first]: readonly (string | null)[]): number {
  return Number(first);
}

/** The parameters of a statement, one a column. */
export function columnsOf<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): Buffer[] {
  return columns.map((column) => column(rows));
}
