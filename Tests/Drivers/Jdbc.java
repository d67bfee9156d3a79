import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

/** What monitoring written in Java does with the console: connects, asks in both protocols, and reads rows by name. */
public class Jdbc {
    /** Arguments: the URL without a database, a user of the console, its password, the query mode. */
    public static void main(String[] arguments) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", arguments[1]);
        properties.setProperty("password", arguments[2]);
        properties.setProperty("preferQueryMode", arguments[3]);
        properties.setProperty("sslmode", "disable");
        try (Connection clients = DriverManager.getConnection(arguments[0] + "app", properties);
                Statement statement = clients.createStatement()) {
            check(1, rows(statement, "select 1 as one", "one").size());
        }
        try (Connection console = DriverManager.getConnection(arguments[0] + "pgbouncer", properties)) {
            try (Statement statement = console.createStatement()) {
                check(true, rows(statement, "SHOW VERSION", "version").get(0).contains("gBouncer"));
                check(true, rows(statement, "SHOW DATABASES", "name").contains("app"));
                check(true, rows(statement, "SHOW POOLS", "cl_active").size() > 0);
                check(true, rows(statement, "SHOW STATS", "total_xact_count").size() > 0);
                check(true, rows(statement, "SHOW CLIENTS", "database").contains("pgbouncer"));
                check(false, statement.execute("RELOAD"));
                check(false, statement.execute("PAUSE app"));
                check(false, statement.execute("RESUME app"));
                check("08P01", state(statement, "SHOW NONSENSE"));
                // The session goes on after an error.
                check(true, rows(statement, "SHOW CONFIG", "key").contains("pool_mode"));
            }
            try (PreparedStatement prepared = console.prepareStatement("SHOW LISTS")) {
                // Often enough for the driver to keep it prepared on the server.
                for (int round = 0; round < 8; round++) {
                    try (ResultSet result = prepared.executeQuery()) {
                        check(true, read(result, "list").contains("databases"));
                    }
                }
            }
        }
        System.out.println("all is well");
    }

    private static List<String> rows(Statement statement, String query, String column) throws SQLException {
        try (ResultSet result = statement.executeQuery(query)) {
            return read(result, column);
        }
    }

    private static List<String> read(ResultSet result, String column) throws SQLException {
        List<String> values = new ArrayList<>();
        while (result.next()) values.add(String.valueOf(result.getString(column)));
        return values;
    }

    private static String state(Statement statement, String query) {
        try {
            statement.execute(query);
            return "none";
        } catch (SQLException error) {
            return error.getSQLState();
        }
    }

    private static void check(Object expected, Object found) {
        if (!expected.equals(found)) throw new AssertionError("not " + expected + " but " + found);
    }
}
